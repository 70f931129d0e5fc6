"""The turns of a transcript: where they stand in a conversation, who speaks, and from when on. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_tavus.api.json_text import to_json
from airflow_provider_tavus.conversations import events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_tavus.api import models
    from airflow_provider_tavus.conversations.shapes import Conversation

NOT_SPOKEN = frozenset({"system", "tool", None})
"""Roles whose turns nobody hears: prompts, retrieved passages, results of tools; and no role at all."""


class Turn(Protocol):
    """What is asked of a turn here: that of :mod:`api.models`, or a row of the table of turns."""

    @property
    def role(self) -> str | None:
        """Who spoke."""

    @property
    def content(self) -> Any:
        """What was said."""

    @property
    def timestamp(self) -> datetime | None:
        """When it began."""

    @property
    def seconds_from_start(self) -> float | None:
        """When it began, in seconds from the start of the conversation."""

    @property
    def duration(self) -> float | None:
        """How long it took, in seconds."""


def raw_transcript(conversation: Conversation) -> list[Any] | None:
    """Return the turns as Tavus sent them, those of the latest transcript if there are several; None if none came."""
    ready = events.latest_transcript_event(conversation)
    return ready.properties["transcript"] if ready else None


def transcript(conversation: Conversation) -> list[models.Turn] | None:
    """Return the turns of :func:`raw_transcript`, each read leniently."""
    from airflow_provider_tavus.api.models import Turn

    turns = raw_transcript(conversation)
    return None if turns is None else [Turn.from_json(turn) for turn in turns]


def words(content: Any) -> str | None:
    """Return the content of a turn as text: what is none, such as the result of a tool, is its JSON."""
    return content if content is None or isinstance(content, str) else to_json(content).decode()


def is_spoken(turn: Turn) -> bool:
    """Say whether somebody said this aloud: a turn with words, of a known role that speaks."""
    content = turn.content
    return turn.role not in NOT_SPOKEN and (content.strip() != "" if isinstance(content, str) else content is not None)


def starts(turns: Sequence[Turn]) -> list[float | None]:
    """
    Return when each turn began, in seconds on one clock; None for those that cannot be placed on it.

    The clock is ``seconds_from_start``. A turn that has a ``timestamp`` alone is placed by the first turn that has
    both. Where no turn has ``seconds_from_start``, the earliest timestamp is 0.
    """
    placed = [turn.seconds_from_start for turn in turns]
    if None not in placed:
        return placed
    loose = [(place, turn.timestamp) for place, turn in enumerate(turns) if placed[place] is None and turn.timestamp]
    zero = _zero(turns) if loose else None
    if zero is not None:
        for place, timestamp in loose:
            # Rounded to what a timestamp can tell: the difference of two epochs has noise behind its microseconds.
            placed[place] = round(timestamp.timestamp() - zero, 6)
    return placed


def _zero(turns: Sequence[Turn]) -> float | None:
    """Return the epoch seconds from which the clock counts; None if nothing tells."""
    seconds_alone = False
    for turn in turns:
        if turn.seconds_from_start is not None:
            if turn.timestamp:
                return turn.timestamp.timestamp() - turn.seconds_from_start
            seconds_alone = True
    return None if seconds_alone else min(turn.timestamp.timestamp() for turn in turns if turn.timestamp)
