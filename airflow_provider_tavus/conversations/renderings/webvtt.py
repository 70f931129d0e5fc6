"""A transcript as WebVTT (https://www.w3.org/TR/webvtt1/)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from airflow_provider_tavus.conversations.renderings.cues import cues, timestamp
from airflow_provider_tavus.conversations.renderings.lines import Style, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.conversations.turns import Turn


def webvtt(turns: Sequence[Turn], *, style: Style | None = None) -> str:
    """
    Return a transcript as WebVTT, each cue under its turn's place in the transcript and with its speaker's voice.

    Turns of which it is not known when they began are left out; a note says how many.
    """
    told = lines(turns, style or Style())
    found = cues(told)
    blocks = ["WEBVTT"]
    if missing := len(told) - len(found):
        blocks.append(f"NOTE Turns that are left out because nothing tells when they began: {missing}")
    for cue in found:
        span = f"{timestamp(cue.begin, '.')} --> {timestamp(cue.end, '.')}"
        text = "\n".join(escape(line, quote=False) for line in cue.text)
        blocks.append(f"{cue.turn_index}\n{span}\n<v {escape(cue.speaker, quote=False)}>{text}")
    return "\n\n".join(blocks) + "\n"
