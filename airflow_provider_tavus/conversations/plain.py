"""The one shape in which a conversation is handed out: plain JSON, the same keys whatever Tavus sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.conversations import events
from airflow_provider_tavus.conversations.secrets import LEFT_OUT_UNLESS_NAMED
from airflow_provider_tavus.conversations.times import iso
from airflow_provider_tavus.conversations.turns import transcript

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_tavus.api.models import Conversation, Event, Turn


def as_plain(conversation: Conversation, *, include: Collection[str] = ()) -> dict[str, Any]:
    """
    Return a conversation as plain JSON.

    Always there, null where unknown: ``conversation_id``, ``conversation_name``, ``status``, ``face_id``,
    ``pal_id``, ``created_at``, ``updated_at``, ``ended_at``, ``shutdown_reason``, ``transcript`` and ``events``.
    The transcript stands once, at the root, and not again in its event. Times are ISO 8601 in UTC, durations
    seconds. What Tavus sent beyond that is kept under its own name.

    :param include: names of fields to keep of ``conversation_url``, ``callback_url`` and ``meeting_token``:
        whoever reads them can enter the room or post in the user's name, so they are left out unless named, of
        the conversation as of its events.
    """
    ready = events.latest_transcript_event(conversation)
    turns = transcript(conversation)
    secrets = LEFT_OUT_UNLESS_NAMED.difference(include) | {"webhook_url"}
    plain = {
        "conversation_id": conversation.conversation_id,
        "conversation_name": conversation.conversation_name,
        "status": conversation.status,
        "face_id": conversation.face_id,
        "pal_id": conversation.pal_id,
        "created_at": iso(conversation.created_at),
        "updated_at": iso(conversation.updated_at),
        "ended_at": iso(events.ended_at(conversation)),
        "shutdown_reason": events.shutdown_reason(conversation),
        "transcript": None if turns is None else [_turn(turn) for turn in turns],
        "events": None
        if conversation.events is None
        else [_event(event, secrets | {"transcript"} if event is ready else secrets) for event in conversation.events],
    }
    named = {name: getattr(conversation, name, None) for name in LEFT_OUT_UNLESS_NAMED.intersection(include)}
    beyond = conversation.model_extra or {}
    return plain | named | {name: beyond[name] for name in beyond if name not in LEFT_OUT_UNLESS_NAMED | plain.keys()}


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "role": turn.role,
        "content": turn.content,
        "timestamp": iso(turn.timestamp),
        "seconds_from_start": turn.seconds_from_start,
        "duration": turn.duration,
    } | {
        # Only where Tavus sent them: most turns have none, and a transcript can be long.
        name: value
        for name, value in turn.model_dump(exclude_unset=True).items()
        if name not in {"role", "content", "timestamp", "seconds_from_start", "duration"}
    }


def _event(event: Event, left_out: Collection[str]) -> dict[str, Any]:
    return {
        "event_type": event.event_type,
        "timestamp": iso(event.timestamp),
        "properties": {name: value for name, value in event.properties.items() if name not in left_out},
    } | {name: value for name, value in (event.model_extra or {}).items() if name not in left_out}
