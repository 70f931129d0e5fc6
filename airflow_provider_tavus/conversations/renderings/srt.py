"""A transcript as SubRip, the subtitles that every player reads. Nobody has specified it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.conversations.renderings.cues import cues, timestamp
from airflow_provider_tavus.conversations.renderings.lines import Style, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.conversations.turns import Turn


def srt(turns: Sequence[Turn], *, style: Style | None = None) -> str:
    """
    Return a transcript as SubRip; a cue begins with its speaker.

    Turns of which it is not known when they began are left out. SubRip has no escapes: ``<`` and ``&`` stand for
    themselves, and an arrow that looks like that between two times becomes another arrow.
    """
    blocks = []
    for number, cue in enumerate(cues(lines(turns, style or Style())), start=1):
        span = f"{timestamp(cue.begin, ',')} --> {timestamp(cue.end, ',')}"
        text = "\n".join([f"{cue.speaker}: {cue.text[0]}", *cue.text[1:]]).replace("-->", "→")
        blocks.append(f"{number}\n{span}\n{text}\n")
    return "\n".join(blocks)
