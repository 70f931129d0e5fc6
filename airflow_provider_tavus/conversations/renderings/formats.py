"""The renderings by the ending of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.conversations.renderings.markdown import markdown
from airflow_provider_tavus.conversations.renderings.srt import srt
from airflow_provider_tavus.conversations.renderings.text import text
from airflow_provider_tavus.conversations.renderings.webvtt import webvtt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_tavus.conversations.renderings.lines import Style
    from airflow_provider_tavus.conversations.shapes import Conversation
    from airflow_provider_tavus.conversations.turns import Turn

RENDERINGS: Mapping[str, Callable[[Conversation, Sequence[Turn], Style], str]] = {
    "vtt": lambda _, turns, style: webvtt(turns, style=style),
    "srt": lambda _, turns, style: srt(turns, style=style),
    "md": lambda conversation, turns, style: markdown(conversation, turns, style=style),
    "txt": lambda _, turns, style: text(turns, style=style),
}
"""What renders a conversation and its turns, by the ending of its file."""
