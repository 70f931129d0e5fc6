"""A conversation as Markdown (CommonMark), for people who read it where Markdown is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_tavus.conversations.events import ended_at, shutdown_reason
from airflow_provider_tavus.conversations.renderings.lines import Style, clock, lines
from airflow_provider_tavus.conversations.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.conversations.shapes import Conversation
    from airflow_provider_tavus.conversations.turns import Turn


def markdown(conversation: Conversation, turns: Sequence[Turn], *, style: Style | None = None) -> str:
    """Return a conversation as Markdown: a heading, what is known of it, and each turn under its speaker and time."""
    known = {
        "Conversation": conversation.conversation_id,
        "Created": iso(conversation.created_at),
        "Ended": iso(ended_at(conversation)),
        "Shutdown reason": shutdown_reason(conversation),
    }
    blocks = [f"# {_one_line(conversation.conversation_name or '') or _one_line(conversation.conversation_id)}"]
    blocks.append("\n".join(f"* {name}: {_one_line(value)}" for name, value in known.items() if value))
    for line in lines(turns, style or Style()):
        when = f" ({clock(line.start)})" if line.start is not None and line.start >= 0 else ""
        blocks += [f"**{_one_line(line.speaker)}**{when}", *_paragraphs(line.text)]
    return "\n\n".join(blocks) + "\n"


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, in which each line stays a line."""
    found: list[list[str]] = [[]]
    for line in text.replace("\0", "\ufffd").splitlines():
        if line.strip():
            found[-1].append(_escaped(line.strip()))
        elif found[-1]:
            found.append([])
    return ["\\\n".join(paragraph) for paragraph in found if paragraph]


def _one_line(text: str) -> str:
    return _escaped(" ".join(text.split()))


_MEANS_SOMETHING_ANYWHERE = re.compile(r"([\\`*_\[\]<>&~|$#])")
_MEANS_SOMETHING_AT_THE_BEGIN = re.compile(r"^([+=-]|\d+(?=[.)]))")


def _escaped(line: str) -> str:
    """Escape what Markdown would take for more than text."""
    line = _MEANS_SOMETHING_ANYWHERE.sub(r"\\\1", line)
    begin = _MEANS_SOMETHING_AT_THE_BEGIN.match(line)
    if begin is None:
        return line
    # Of a number that would count a list, it is the point or bracket after it.
    return f"{begin[0]}\\{line[begin.end() :]}" if begin[0].isdecimal() else f"\\{line}"
