"""
What a triggerer tells of its waits through Airflow's metrics (StatsD or OpenTelemetry, as Airflow is set up).

A wait does not depend on whether the metrics can be told.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_tavus.conversations.events import last_came

if TYPE_CHECKING:
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.conversations.wait import Wait

log = logging.getLogger(__name__)


def prepare() -> None:
    """Let Airflow read its files about metrics, which would stop every other trigger later on."""
    _count("tavus.waits.began", 0)


def a_wait_began() -> None:
    """Count a wait that has joined a poll."""
    _count("tavus.waits.began")


def a_wait_is_over() -> None:
    """Count a wait that has left its poll, for whatever reason."""
    _count("tavus.waits.over")


def the_list_was_asked() -> None:
    """Count a request for a page of the list of active conversations."""
    _count("tavus.polls")


def a_conversation_was_read() -> None:
    """Count a request for one conversation."""
    _count("tavus.reads")


def a_wait_woke_up(wait: Wait, conversation: Conversation, now: float) -> None:
    """Tell how long after the last event that was waited for the wait came to know, if it happened meanwhile."""
    last = last_came(conversation, wait.wait_for)
    if last and last.timestamp() >= wait.schedule.started_at:
        _time("tavus.wake_up_latency", timedelta(seconds=max(0.0, now - last.timestamp())))


def callbacks_never_came(number: int) -> None:
    """Count callbacks that should have come and did not."""
    _count("tavus.callbacks.lost", number)


def an_event_was_fired() -> None:
    """Count a conversation that got its asset event."""
    _count("tavus.events")


def _count(name: str, times: int = 1) -> None:
    try:
        Stats.incr(name, times)
    except Exception as fault:
        _could_not_be_told(name, fault)


def _time(name: str, duration: timedelta) -> None:
    try:
        Stats.timing(name, duration)
    except Exception as fault:
        _could_not_be_told(name, fault)


def _could_not_be_told(name: str, fault: Exception) -> None:
    # Whoever is to hear it cannot be reached or is not set up: that would be said at every request.
    log.debug("The metric %s could not be told: %s", name, type(fault).__name__)
