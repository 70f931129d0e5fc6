from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.api.outline import read_outline
from airflow_provider_tavus.conversations.readiness import judge

odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
times = st.sampled_from(["2026-04-29T03:47:01Z", "2026-04-29T05:47:01.5+02:00", 1777434421]) | odd
reasons = st.sampled_from(["participant_left_timeout", "participant_absent_timeout"]) | odd
types = st.sampled_from(
    [
        "system.shutdown",
        "system.replica_joined",
        "application.transcription_ready",
        "application.perception_analysis",
        "application.perception_unavailable",
    ]
)
properties = st.fixed_dictionaries(
    {}, optional={"reason": reasons, "shutdown_reason": reasons, "transcript": st.lists(odd, max_size=2)}
)
events = st.fixed_dictionaries(
    {}, optional={"event_type": types | odd, "timestamp": times, "properties": properties | odd, "webhook_url": odd}
)
bodies = st.fixed_dictionaries(
    {"conversation_id": st.just("c1")},
    optional={
        "status": st.sampled_from(["active", "ended", " Ended "]) | odd,
        "events": st.lists(events | odd, max_size=4) | odd,
        "updated_at": times,
        "created_at": times,
        "shutdown_reason": reasons,
        "conversation_name": odd,
    },
)


def verdict(plain: Any, now: float) -> Any:
    wanted = ("application.transcription_ready", "application.perception_analysis")
    conversation = Conversation.from_json(plain)
    return conversation.created_at, judge(conversation, wait_for=wanted, grace_period=60, now=now, waiting_since=now)


@given(bodies, st.sampled_from([1777434422.0, 1e10]))
def test_the_verdict_on_an_outline_is_that_on_the_whole(body: dict[str, Any], now: float) -> None:
    sent = json.dumps(body).encode()

    assert verdict(read_outline(sent), now) == verdict(read_json(sent), now)


def test_what_was_said_and_seen_is_passed_over() -> None:
    body = {
        "conversation_id": "c1",
        "events": [
            {"event_type": "application.transcription_ready", "properties": {"transcript": [{"content": "hello"}]}},
            {"event_type": "application.perception_analysis", "properties": {"analysis": "hello"}},
            {"event_type": "system.shutdown", "properties": {"reason": "participant_left_timeout"}},
        ],
        "unknown": "hello",
    }

    outline = read_outline(json.dumps(body).encode())

    assert "hello" not in json.dumps(outline)
    told = [event.get("properties") for event in outline["events"]]
    assert told == [None, None, {"reason": "participant_left_timeout"}]


@pytest.mark.parametrize(
    "odd",
    [b"NaN", b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"1e400", b"9" * 5000, b"[" * 500 + b"]" * 500],
    ids=["nan", "surrogate", "nul", "no utf-8", "infinite", "long", "deep"],
)
@pytest.mark.parametrize("place", [b'"status": %s', b'"other": %s', b'"events": [{"properties": {"transcript": %s}}]'])
def test_it_reads_what_the_whole_can_be_read_of(place: bytes, odd: bytes) -> None:
    body = b'{"conversation_id": "c1", ' + place % odd + b"}"

    assert verdict(read_outline(body), 1e10) == verdict(read_json(body), 1e10)


@pytest.mark.parametrize("around", [b'{"other": %s}', b'{"events": [{"properties": %s}]}'])
@given(odd=st.text(alphabet='{}[]":,\\u019eE.-+naltrufs \ud7ff').map(str.encode) | st.binary(max_size=8))
def test_of_what_it_reads_the_whole_can_be_read(around: bytes, odd: bytes) -> None:
    """Whoever judges by it stores the body, and makes rows of it somewhere else."""
    try:
        read_outline(around % odd)
    except ValueError:
        return
    read_json(around % odd)


@pytest.mark.parametrize("odd", [b"7", b'"\\u0000"'], ids=["usual", "nul"])
@pytest.mark.parametrize("depth", range(200, 1000, 200))
def test_it_reads_nothing_that_is_nested_too_deeply_to_be_read_as_a_whole(depth: int, odd: bytes) -> None:
    body = b'{"other": %s%s%s}' % (b"[" * depth, odd, b"]" * depth)
    try:
        read_outline(body)
    except ValueError:
        return
    read_json(body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"conversation_id": "c1", "other": "\\q"}', b"[" * 100_000])
def test_what_is_no_json_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|escape|nested too deeply"):
        read_outline(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b'{"conversation_id": 7}', b'"c1"'])
def test_what_names_no_conversation_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"conversation_id|valid dictionary"):
        Conversation.from_json(read_outline(body))
