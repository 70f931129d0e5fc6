"""Subtitles are cues: from when to when, who, and what. What WebVTT and SubRip share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_tavus.conversations.renderings.lines import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.conversations.renderings.lines import Line

LATEST = 100 * 3600 * 1000 - 1
"""Milliseconds: two digits of hours are all that every player reads."""
CHARACTERS_PER_SECOND = 15
"""How fast subtitles can be read."""
SHORTEST_TO_READ = 1000
"""Milliseconds."""


class Cue(NamedTuple):
    """
    One subtitle.

    :param begin: milliseconds.
    :param end: milliseconds; always after ``begin``.
    :param text: the lines of text, none of them blank.
    """

    begin: int
    end: int
    turn_index: int
    speaker: str
    text: list[str]


def cues(lines: Sequence[Line]) -> list[Cue]:
    """
    Return the cues of those lines of which it is known when they began, in the order of time.

    One whose duration is not known stays as long as it takes to read it, but goes when the next one comes.
    """
    placed = [
        (round(line.start * 1000), line) for line in lines if line.start is not None and 0 <= line.start < LATEST / 1000
    ]
    placed.sort(key=lambda cue: cue[0])
    found: list[Cue] = []
    following = begin_of_following = LATEST
    for begin, line in reversed(placed):
        if begin < begin_of_following:
            following, begin_of_following = begin_of_following, begin
        end = _end(begin, line, following)
        found.append(Cue(begin, end, line.turn_index, line.speaker, text_lines(line.text)))
    return found[::-1]


def _end(begin: int, line: Line, following: int) -> int:
    if line.duration is not None and line.duration > 0:
        end = round(min(begin + line.duration * 1000, LATEST))
    else:
        end = min(begin + max(SHORTEST_TO_READ, len(line.text) * 1000 // CHARACTERS_PER_SECOND), following, LATEST)
    return max(end, begin + 1)


def text_lines(text: str) -> list[str]:
    """Return the lines of a text without the blank ones, which would end a cue."""
    return [line for line in (line.strip() for line in text.replace("\0", "\ufffd").splitlines()) if line]


def timestamp(milliseconds: int, separator: str) -> str:
    """Return a time as subtitles have it, such as ``00:01:05.250``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{clock(seconds)}{separator}{rest:03}"
