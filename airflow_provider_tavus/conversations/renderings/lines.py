"""What all renderings of a transcript share: which turns are told, by whom, in which words, and from when on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_tavus.conversations.turns import is_spoken, starts, words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_tavus.conversations.turns import Turn

NAMES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
UNKNOWN = "Unknown"


@dataclass(frozen=True, kw_only=True)
class Style:
    """
    How a transcript is told.

    :param names: what to call the roles, such as ``{"assistant": "Anna"}``; others have their own names.
    :param unspoken_roles: roles whose turns nobody heard and that are told all the same: ``system`` (the prompt is
        one, and often confidential) and ``tool``.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    unspoken_roles: Collection[str] = ()

    def name(self, role: str | None) -> str:
        """Return what a role is called, in one line."""
        if role is None:
            return UNKNOWN
        return " ".join((self.names.get(role) or NAMES.get(role) or role).split()) or UNKNOWN


class Line(NamedTuple):
    """
    A turn that is told.

    :param turn_index: its place in the transcript.
    :param start: seconds; None if unknown.
    :param duration: seconds; None if unknown.
    """

    turn_index: int
    speaker: str
    text: str
    start: float | None
    duration: float | None


def lines(turns: Sequence[Turn], style: Style) -> list[Line]:
    """Return what is told of a transcript, in its order: every turn with words, but those of silent roles."""
    told = []
    for index, (turn, start) in enumerate(zip(turns, starts(turns), strict=True)):
        text = words(turn.content)
        if text and not text.isspace() and (turn.role is None or is_spoken(turn) or turn.role in style.unspoken_roles):
            told.append(Line(index, style.name(turn.role), text, start, turn.duration))
    return told


def clock(seconds: float) -> str:
    """Return seconds as hours, minutes and whole seconds, such as ``00:01:05``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}"
