"""What the events of a conversation say about it. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from airflow_provider_tavus.conversations.shapes import Conversation, Event

SHUTDOWN = "system.shutdown"
TRANSCRIPTION_READY = "application.transcription_ready"
PERCEPTION_ANALYSIS = "application.perception_analysis"
PERCEPTION_UNAVAILABLE = "application.perception_unavailable"
RECORDING_READY = "application.recording_ready"
RECORDING_COPY_FAILED = "application.recording_copy_failed"


def latest_event(conversation: Conversation, event_type: str) -> Event | None:
    """Return the latest event of a type: by its time where it has one, else by its place in the list."""
    return _latest(event for event in conversation.events or () if event.event_type == event_type)


def latest_transcript_event(conversation: Conversation) -> Event | None:
    """
    Return the latest event that has the transcript; one without turns only where none has any.

    Tavus sends some of the type :data:`TRANSCRIPTION_READY` without one, also after one that has it.
    """
    have_one = [
        event
        for event in conversation.events or ()
        if event.event_type == TRANSCRIPTION_READY and isinstance(event.properties.get("transcript"), list)
    ]
    return _latest(event for event in have_one if event.properties["transcript"]) or _latest(have_one)


def latest_events(conversation: Conversation) -> dict[str, Event]:
    """Return by its type what :func:`latest_event` does, of all types at once; an event without one is in none."""
    latest: dict[str, Event] = {}
    for event in conversation.events or ():
        if event.event_type is not None and _is_later(event, latest.get(event.event_type)):
            latest[event.event_type] = event
    return latest


def _latest(events: Iterable[Event]) -> Event | None:
    latest = None
    for event in events:
        if _is_later(event, latest):
            latest = event
    return latest


def _is_later(event: Event, before: Event | None) -> bool:
    return before is None or _epoch(event) >= _epoch(before)


def _epoch(event: Event) -> float:
    return event.timestamp.timestamp() if event.timestamp else 0.0


def has_ended(conversation: Conversation) -> bool:
    """
    Say whether the conversation is over.

    Documented are ``active`` and ``ended``; any other status is taken as an end, a missing one is not.
    """
    return conversation.status not in {None, "", "active"}


def shutdown_reason(conversation: Conversation) -> str | None:
    """
    Return why the conversation ended, without the " reached" that some bodies append; None if not told.

    It comes as ``shutdown_reason`` or ``reason`` of the shutdown, and is documented at the body's root, too.
    """
    return reason_of(latest_event(conversation, SHUTDOWN), conversation)


def reason_of(shutdown: Event | None, conversation: Conversation) -> str | None:
    """Do what :func:`shutdown_reason` does, where the latest shutdown was looked for already."""
    told = shutdown.properties if shutdown else {}
    root = (conversation.model_extra or {}).get("shutdown_reason")
    for reason in (told.get("shutdown_reason"), told.get("reason"), root):
        if isinstance(reason, str) and reason.strip():
            return reason.strip().removesuffix(" reached")
    return None


def ended_at(conversation: Conversation) -> datetime | None:
    """Return when the conversation was shut down; None if its events do not tell, or were not read."""
    shutdown = latest_event(conversation, SHUTDOWN)
    return shutdown.timestamp if shutdown else None


def last_came(conversation: Conversation, event_types: Iterable[str]) -> datetime | None:
    """Return when the last came of a conversation's end and these events, as far as they tell their times."""
    return last_of(latest_events(conversation), event_types)


def last_of(latest: Mapping[str, Event], event_types: Iterable[str]) -> datetime | None:
    """Do what :func:`last_came` does, of the latest event of each type."""
    events = map(latest.get, (SHUTDOWN, *event_types))
    return max((event.timestamp for event in events if event and event.timestamp), default=None)
