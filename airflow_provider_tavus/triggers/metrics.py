"""What a triggerer tells of its waits through Airflow's metrics; no wait depends on whether they can be told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_tavus.callbacks.metrics import count, tell_time
from airflow_provider_tavus.conversations.events import last_came

if TYPE_CHECKING:
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.conversations.wait import Wait


def prepare() -> None:
    """Let Airflow read its files about metrics, which would stop every other trigger later on."""
    count("tavus.waits.began", 0)


def a_wait_began() -> None:
    """Count a wait that has joined a poll."""
    count("tavus.waits.began")


def a_wait_is_over() -> None:
    """Count a wait that has left its poll, for whatever reason."""
    count("tavus.waits.over")


def the_list_was_asked() -> None:
    """Count a request for a page of the list of active conversations."""
    count("tavus.polls")


def a_conversation_was_read() -> None:
    """Count a request for one conversation."""
    count("tavus.reads")


def a_wait_woke_up(wait: Wait, conversation: Conversation, now: float) -> None:
    """Tell how long after the last event that was waited for the wait came to know, if it happened meanwhile."""
    last = last_came(conversation, wait.wait_for)
    if last and last.timestamp() >= wait.schedule.started_at:
        tell_time("tavus.wake_up_latency", timedelta(seconds=max(0.0, now - last.timestamp())))


def callbacks_never_came(number: int) -> None:
    """Count callbacks that should have come and did not."""
    count("tavus.callbacks.lost", number)


def an_event_was_fired() -> None:
    """Count a conversation that got its asset event."""
    count("tavus.events")
