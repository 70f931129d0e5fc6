"""A transcript as plain text, for people, and for what reads lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.conversations.renderings.cues import text_lines
from airflow_provider_tavus.conversations.renderings.lines import Style, clock, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.conversations.turns import Turn


def text(turns: Sequence[Turn], *, style: Style | None = None) -> str:
    """
    Return a transcript as text: each turn begins a line, after its time where that is known.

    Further lines of one turn are indented, so that no words of a turn look like the begin of another.
    """
    told = []
    for line in lines(turns, style or Style()):
        when = f"[{clock(line.start)}] " if line.start is not None and line.start >= 0 else ""
        told.append(f"{when}{line.speaker}: " + "\n    ".join(text_lines(line.text)))
    return "".join(f"{each}\n" for each in told)
