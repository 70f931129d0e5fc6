"""
What a conversation becomes in the three tables: one row in ``conversations``, one per turn, one per event.

The classes below are the schema: their fields are the columns, in this order, and the types are read from them. A
column of the type ``Any`` holds JSON. Null is what Tavus did not tell. What Tavus sends that has no column of its
own stands in ``extra``. The tables grow without breaking anybody: a new column comes at the end, and none goes.
"""

from __future__ import annotations

import sys
from datetime import datetime  # noqa: TC003 - msgspec looks at the annotations when the classes are made
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from airflow_provider_tavus.api.lenient import moment, number, text
from airflow_provider_tavus.conversations import events as events_of
from airflow_provider_tavus.conversations.secrets import LEFT_OUT_UNLESS_NAMED
from airflow_provider_tavus.conversations.statistics import statistics
from airflow_provider_tavus.conversations.turns import raw_transcript, words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_tavus.conversations.shapes import Conversation


Seconds = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is finite: the bounds shut out what a text such as "nan" could spell, and no number that can be had."""


class Row(msgspec.Struct, gc=False):
    """A row of any table; what it is not told is null."""

    conversation_id: str = ""


class ConversationRow(Row, gc=False):
    """A row of the table ``conversations``; its numbers are those of :class:`.statistics.Statistics`."""

    conversation_name: str | None = None
    status: str | None = None
    face_id: str | None = None
    pal_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    shutdown_reason: str | None = None
    turns: int | None = None
    user_turns: int | None = None
    assistant_turns: int | None = None
    user_talk_seconds: float | None = None
    assistant_talk_seconds: float | None = None
    user_talk_share: float | None = None
    assistant_talk_share: float | None = None
    longest_turn_seconds: float | None = None
    longest_turn_role: str | None = None
    silence_seconds: float | None = None
    longest_silence_seconds: float | None = None
    responses: int | None = None
    response_latency_mean_seconds: float | None = None
    response_latency_median_seconds: float | None = None
    response_latency_max_seconds: float | None = None
    extra: Any = None


class TurnRow(Row, gc=False):
    """A row of the table ``turns``: one turn of the latest transcript."""

    turn_index: int = -1
    role: str | None = None
    content: str | None = None
    timestamp: datetime | None = None
    seconds_from_start: Seconds | None = None
    duration: Seconds | None = None
    inference_id: str | None = None
    tool_call_id: str | None = None
    tool_calls: Any = None
    extra: Any = None


class EventRow(Row, gc=False):
    """A row of the table ``events``; the transcript that became turns is not repeated in ``properties``."""

    event_index: int = -1
    event_type: str | None = None
    timestamp: datetime | None = None
    properties: Any = None
    extra: Any = None


class Rows(NamedTuple):
    """The rows of one conversation, by table."""

    conversations: list[ConversationRow]
    turns: list[TurnRow]
    events: list[EventRow]


def rows_of(conversation: Conversation) -> Rows:
    """Return the rows of a conversation that was read with ``verbose=true``; whatever is in it, this raises nothing."""
    turns = turn_rows(conversation)
    row = ConversationRow(
        conversation_id=conversation.conversation_id,
        conversation_name=conversation.conversation_name,
        status=conversation.status,
        face_id=conversation.face_id,
        pal_id=conversation.pal_id,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        ended_at=events_of.ended_at(conversation),
        shutdown_reason=events_of.shutdown_reason(conversation),
        **statistics(turns)._asdict(),
        extra=_without(_NOT_REPEATED, conversation.model_extra or {}) or None,
    )
    return Rows([row], turns or [], _events(conversation))


_SECRETS = LEFT_OUT_UNLESS_NAMED | {"webhook_url"}
_NOT_REPEATED = _SECRETS | {"face_id", "pal_id", "shutdown_reason"}
"""Only what a column tells: others have the name of a field that Tavus may send, and mean something else."""
_TURN_FIELDS = set(TurnRow.__struct_fields__) - {"conversation_id", "turn_index", "extra"}


def turn_rows(conversation: Conversation) -> list[TurnRow] | None:
    """Return the rows of a conversation's turns; None if it has no transcript."""
    transcript = raw_transcript(conversation)
    if transcript is None:
        return None
    try:
        # All at once, and several times as fast, where all are objects with fields of types that can be had for them.
        rows = msgspec.convert(transcript, list[TurnRow], strict=False)
        all_have_columns = set().union(*transcript) <= _TURN_FIELDS
    # The year 10000 is a ValueError of Python's own.
    except (msgspec.ValidationError, ValueError):
        rows, all_have_columns = [_turn(turn) for turn in transcript], False
    conversation_id = conversation.conversation_id
    for index, row in enumerate(rows):
        row.conversation_id = conversation_id
        row.turn_index = index
        if row.timestamp is not None and not _is_usual_time(sent := transcript[index]["timestamp"]):
            row.timestamp = moment(sent)
    if not all_have_columns:
        for row, turn in zip(rows, transcript, strict=True):
            if isinstance(turn, dict):
                row.extra = {name: turn[name] for name in turn if name not in _TURN_FIELDS} or None
    return rows


def _is_usual_time(sent: Any) -> bool:
    """Tell whether msgspec reads a time as everybody else does: others it rounds, or takes for other numbers."""
    return isinstance(sent, str) and sent[10:11] == "T" and sent[-1] == "Z" and len(sent) <= _LONGEST_USUAL_TIME


_LONGEST_USUAL_TIME = len("2026-11-24T08:15:00.123456Z")


def _turn(turn: Any) -> TurnRow:
    """Read one turn; what is no object becomes a turn's content, so that no other turn moves."""
    if not isinstance(turn, dict):
        return TurnRow(content=words(turn))
    return TurnRow(
        role=text(turn.get("role")),
        content=words(turn.get("content")),
        timestamp=moment(turn.get("timestamp")),
        seconds_from_start=number(turn.get("seconds_from_start")),
        duration=number(turn.get("duration")),
        inference_id=text(turn.get("inference_id")),
        tool_call_id=text(turn.get("tool_call_id")),
        tool_calls=turn.get("tool_calls"),
    )


def _events(conversation: Conversation) -> list[EventRow]:
    ready = events_of.latest_transcript_event(conversation)
    return [
        EventRow(
            conversation.conversation_id,
            index,
            event_type=event.event_type,
            timestamp=event.timestamp,
            properties=_without(_SECRETS | {"transcript"} if event is ready else _SECRETS, event.properties),
            extra=_without(_SECRETS, event.model_extra or {}) or None,
        )
        for index, event in enumerate(conversation.events or ())
    ]


def _without(names: Collection[str], sent: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name not in names}
