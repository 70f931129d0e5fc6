"""Transcripts as people read them, held against parsers that others have written."""

from __future__ import annotations

import io
from html import unescape
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_tavus.api.models import Conversation, Turn
from airflow_provider_tavus.conversations.renderings.cues import LATEST, cues, timestamp
from airflow_provider_tavus.conversations.renderings.formats import RENDERINGS
from airflow_provider_tavus.conversations.renderings.lines import Line, Style, lines
from airflow_provider_tavus.conversations.renderings.markdown import markdown
from airflow_provider_tavus.conversations.renderings.srt import srt
from airflow_provider_tavus.conversations.renderings.text import text
from airflow_provider_tavus.conversations.renderings.webvtt import webvtt

CONVERSATION = Conversation.from_json(
    {
        "conversation_id": "c1",
        "conversation_name": "Intake *call*",
        "created_at": "2026-08-11T23:01:40Z",
        "events": [
            {
                "event_type": "system.shutdown",
                "timestamp": "2026-08-11T23:09:57Z",
                "properties": {"reason": "participant_left_timeout"},
            }
        ],
    }
)


def says(role: str | None, content: Any, start: float | None = None, duration: float | None = None) -> Turn:
    return Turn(role=role, content=content, seconds_from_start=start, duration=duration)


TURNS = [
    says("system", "You are Anna, and this is secret."),
    says("assistant", "Hi & welcome to <b>.\n\nWhat --> brought you?", 0, 2.15),
    says("user", "Just testing.", 3.5),
    says("tool", {"matches": []}, 4),
    says("assistant", None, 4),
    says("user", "A late thought", 3723.25, 1),
    says(None, "Nobody knows when, or who"),
]


def test_webvtt() -> None:
    assert webvtt(TURNS) == (
        "WEBVTT\n"
        "\n"
        "NOTE Turns that are left out because nothing tells when they began: 1\n"
        "\n"
        "1\n"
        "00:00:00.000 --> 00:00:02.150\n"
        "<v Assistant>Hi &amp; welcome to &lt;b&gt;.\n"
        "What --&gt; brought you?\n"
        "\n"
        "2\n"
        "00:00:03.500 --> 00:00:04.500\n"
        "<v User>Just testing.\n"
        "\n"
        "5\n"
        "01:02:03.250 --> 01:02:04.250\n"
        "<v User>A late thought\n"
    )


def test_srt() -> None:
    assert srt(TURNS) == (
        "1\n"
        "00:00:00,000 --> 00:00:02,150\n"
        "Assistant: Hi & welcome to <b>.\n"
        "What → brought you?\n"
        "\n"
        "2\n"
        "00:00:03,500 --> 00:00:04,500\n"
        "User: Just testing.\n"
        "\n"
        "3\n"
        "01:02:03,250 --> 01:02:04,250\n"
        "User: A late thought\n"
    )


def test_text() -> None:
    assert text(TURNS) == (
        "[00:00:00] Assistant: Hi & welcome to <b>.\n"
        "    What --> brought you?\n"
        "[00:00:03] User: Just testing.\n"
        "[01:02:03] User: A late thought\n"
        "Unknown: Nobody knows when, or who\n"
    )


def test_markdown() -> None:
    assert markdown(CONVERSATION, TURNS) == (
        "# Intake \\*call\\*\n"
        "\n"
        "* Conversation: c1\n"
        "* Created: 2026-08-11T23:01:40Z\n"
        "* Ended: 2026-08-11T23:09:57Z\n"
        "* Shutdown reason: participant\\_left\\_timeout\n"
        "\n"
        "**Assistant** (00:00:00)\n"
        "\n"
        "Hi \\& welcome to \\<b\\>.\n"
        "\n"
        "What --\\> brought you?\n"
        "\n"
        "**User** (00:00:03)\n"
        "\n"
        "Just testing.\n"
        "\n"
        "**User** (01:02:03)\n"
        "\n"
        "A late thought\n"
        "\n"
        "**Unknown**\n"
        "\n"
        "Nobody knows when, or who\n"
    )


@pytest.mark.parametrize("ending", RENDERINGS)
def test_silent_roles_are_told_only_where_asked_for(ending: str) -> None:
    render = RENDERINGS[ending]
    turns = [says("system", "You are Anna", 1), says("tool", {"found": 1}, 2), says("user", "Hi", 3)]

    assert "Anna" not in render(CONVERSATION, turns, Style())
    assert "Anna" in render(CONVERSATION, turns, Style(unspoken_roles=("system",)))
    assert "found" in render(CONVERSATION, turns, Style(unspoken_roles=("tool",)))


@pytest.mark.parametrize("ending", RENDERINGS)
def test_roles_are_called_what_the_style_says(ending: str) -> None:
    turns = [says("user", "Hi", 1), says("assistant", "Hello", 2), says("guest", "Me too", 3)]
    rendered = RENDERINGS[ending](CONVERSATION, turns, Style(names={"assistant": "Anna\nof Tavus"}))

    assert [name in rendered for name in ("User", "Anna of Tavus", "guest")] == [True, True, True]


@pytest.mark.parametrize("ending", RENDERINGS)
def test_a_transcript_without_words_is_no_fault(ending: str) -> None:
    RENDERINGS[ending](Conversation.from_json({"conversation_id": "c1"}), [], Style())


def cue_times(*told: tuple[float | None, float | None]) -> list[tuple[int, int]]:
    return [
        (cue.begin, cue.end)
        for cue in cues([Line(index, "User", "x" * 45, start, long) for index, (start, long) in enumerate(told)])
    ]


def test_a_cue_without_a_duration_stays_as_long_as_it_takes_to_read_or_until_the_next() -> None:
    assert cue_times((0, None)) == [(0, 3000)]
    assert cue_times((0, None), (1, 1)) == [(0, 1000), (1000, 2000)]
    assert cue_times((0, None), (0, None), (2, 1)) == [(0, 2000), (0, 2000), (2000, 3000)]


def test_cues_come_in_the_order_of_time_and_last_a_moment_at_least() -> None:
    assert cue_times((5, 1), (1, 0.0001), (2, 2)) == [(1000, 1001), (2000, 4000), (5000, 6000)]


def test_what_no_player_could_place_is_left_out() -> None:
    assert cue_times((-1, 2), (400_000, 1), (None, 1)) == []
    assert cue_times((359_999, 1e9)) == [(359_999_000, LATEST)]


seconds = st.none() | st.floats(-10, 400_000) | st.floats(allow_nan=False, allow_infinity=False)
words = st.text() | st.text(alphabet="ab -><&;\n\r\u2028\x0b*_#1.)=`[]()!\\:/wp\t{}|~$")
turn_lists = st.lists(st.builds(says, st.sampled_from(["user", "assistant", "a > b & c"]), words, seconds, seconds))


def shown(turns: list[Turn]) -> list[str]:
    """What a reader of subtitles is to see, without what space there is between words."""
    return ["".join(" ".join(cue.text).split()) for cue in cues(lines(turns, Style()))]


@given(turn_lists)
def test_a_parser_reads_our_webvtt(turns: list[Turn]) -> None:
    parser = pytest.importorskip("webvtt", reason="webvtt-py is not installed beside this Airflow")
    found = list(parser.from_buffer(io.StringIO(webvtt(turns), newline="")))

    told = cues(lines(turns, Style()))
    assert [cue.identifier for cue in found] == [str(cue.turn_index) for cue in told]
    assert [(cue.start, cue.end) for cue in found] == [
        (timestamp(cue.begin, "."), timestamp(cue.end, ".")) for cue in told
    ]
    assert [cue.raw_text.count("\n") for cue in found] == [len(cue.text) - 1 for cue in told]
    spoken = [cue.raw_text.removeprefix("<v ").split(">", 1) for cue in found]
    assert [unescape(voice) for voice, _ in spoken] == [cue.speaker for cue in told]
    assert ["".join(unescape(text).split()) for _, text in spoken] == shown(turns)


@given(turn_lists)
def test_a_parser_reads_our_srt(turns: list[Turn]) -> None:
    parser = pytest.importorskip("pysrt", reason="pysrt is not installed beside this Airflow")
    found = parser.from_string(srt(turns), error_handling=parser.ERROR_RAISE)

    told = cues(lines(turns, Style()))
    assert [(cue.start.ordinal, cue.end.ordinal) for cue in found] == [(cue.begin, cue.end) for cue in told]
    assert ["".join(cue.text.split(": ", 1)[1].split()) for cue in found] == [
        text.replace("-->", "→") for text in shown(turns)
    ]


@given(st.lists(words))
def test_markdown_is_shown_as_what_was_said_and_nothing_more(said: list[str]) -> None:
    parser = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed beside this Airflow")
    turns = [says("user", content) for content in said]
    rendered = markdown(Conversation.from_json({"conversation_id": "c1"}), turns)
    tokens = parser.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(rendered)

    inline = [piece for token in tokens if token.type == "inline" for piece in token.children]
    told = "".join(f"User{line.text}" for line in lines(turns, Style())).replace("\0", "\ufffd")
    assert "".join("".join(piece.content for piece in inline).split()) == "c1Conversation:c1" + "".join(told.split())
    assert {token.tag for token in [*tokens, *inline]} <= {"h1", "ul", "li", "p", "", "strong", "br"}
    assert "softbreak" not in {piece.type for piece in inline}


@given(words)
@example("Interview #")
def test_a_heading_is_shown_as_the_conversation_is_called(name: str) -> None:
    parser = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed beside this Airflow")
    rendered = markdown(Conversation.from_json({"conversation_id": "c1", "conversation_name": name}), [])
    heading, _ = (token for token in parser.MarkdownIt("commonmark").parse(rendered) if token.type == "inline")

    shown = "".join("".join(piece.content for piece in heading.children).split())
    assert shown == ("".join(name.split()) or "c1").replace("\0", "\ufffd")
