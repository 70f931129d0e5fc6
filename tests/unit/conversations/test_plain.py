from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.conversations.plain import as_plain

BODY = {
    "conversation_id": "c1",
    "status": "ended",
    "conversation_url": "https://tavus.daily.co/c1",
    "callback_url": "https://example.com/hook?token=t",
    "meeting_token": "jwt",
    "created_at": "2026-04-29T03:45:49Z",
}
ALWAYS = {
    "conversation_id",
    "conversation_name",
    "status",
    "face_id",
    "pal_id",
    "created_at",
    "updated_at",
    "ended_at",
    "shutdown_reason",
    "transcript",
    "events",
}


def plain(*events: Any, include: Any = (), **body: Any) -> dict[str, Any]:
    return as_plain(Conversation.from_json(BODY | {"events": list(events)} | body), include=include)


def test_the_keys_are_the_same_whatever_was_sent() -> None:
    assert as_plain(Conversation.from_json({"conversation_id": "c1"})).keys() == ALWAYS
    assert plain().keys() == ALWAYS


def test_what_opens_a_room_is_left_out_unless_named() -> None:
    assert "jwt" not in json.dumps(plain())
    assert plain(include=["conversation_url"]).keys() - ALWAYS == {"conversation_url"}
    assert plain(include=["meeting_token", "callback_url"])["meeting_token"] == "jwt"


def test_what_opens_a_room_is_left_out_of_events_as_well() -> None:
    secrets = {name: BODY[name] for name in ("conversation_url", "callback_url", "meeting_token")}
    event = secrets | {"event_type": "application.post_call_action", "properties": secrets | {"x": 1}}

    assert plain(event)["events"] == [{"event_type": event["event_type"], "timestamp": None, "properties": {"x": 1}}]
    (kept,) = plain(event, include=["meeting_token"])["events"]
    assert (kept["meeting_token"], kept["properties"]) == ("jwt", {"meeting_token": "jwt", "x": 1})


def test_unknown_fields_and_events_are_kept() -> None:
    event = {"event_type": "canvas.interaction", "message_type": "canvas", "properties": {"x": [1]}}

    assert plain(event, document_ids=["d1"])["document_ids"] == ["d1"]
    assert plain(event)["events"] == [event | {"timestamp": None}]


def test_no_field_of_tavus_replaces_one_of_ours() -> None:
    assert plain(transcript="body's own", ended_at="body's own")["transcript"] is None


@pytest.mark.parametrize("later", [{}, {"transcript": None}, {"transcript": "to come"}, {"transcript": []}, None])
def test_an_event_without_a_transcript_takes_none_away(later: Any) -> None:
    ready = {"event_type": "application.transcription_ready", "timestamp": "2026-04-29T03:45:49Z"}
    said = ready | {"properties": {"transcript": [{"role": "user", "content": "Hi"}], "replica_id": "r1"}}

    found = plain(said, ready | {"timestamp": "2026-04-29T03:46:49Z", "properties": later})

    assert [turn["content"] for turn in found["transcript"]] == ["Hi"]
    assert [event["properties"] for event in found["events"]] == [{"replica_id": "r1"}, later or {}]


def test_of_two_transcripts_the_latest_wins_and_the_other_stays_in_its_event() -> None:
    def ready(content: str, timestamp: str) -> dict[str, Any]:
        turns = [{"role": "user", "content": content}]
        return {
            "event_type": "application.transcription_ready",
            "timestamp": timestamp,
            "properties": {"transcript": turns, "replica_id": "r1"},
        }

    both = plain(ready("whole", "2026-04-29T03:48:00Z"), ready("half", "2026-04-29T03:47:00Z"))

    assert [turn["content"] for turn in both["transcript"]] == ["whole"]
    assert both["events"][0]["properties"] == {"replica_id": "r1"}
    assert both["events"][1]["properties"]["transcript"][0]["content"] == "half"


def test_a_transcript_event_without_a_transcript_gives_none() -> None:
    assert plain({"event_type": "application.transcription_ready", "properties": {}})["transcript"] is None


def test_a_transcript_of_no_turns_is_one_where_there_is_no_other() -> None:
    ready = {"event_type": "application.transcription_ready", "properties": {"transcript": []}}
    assert plain(ready, ready)["transcript"] == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
named = st.sampled_from(["event_type", "timestamp", "properties", "transcript", "role", "content", "tool_calls"])


@given(
    st.dictionaries(st.sampled_from([*BODY, "events", "replica_id", "pal_id"]) | st.text(max_size=5), json_values),
    st.lists(st.dictionaries(named, json_values)),
    st.lists(json_values | st.dictionaries(named, json_values)),
)
def test_whatever_tavus_sends_comes_out_as_json(body: Any, events: Any, turns: Any) -> None:
    ready = {"event_type": "application.transcription_ready", "properties": {"transcript": turns}}

    out = as_plain(Conversation.from_json(body | {"conversation_id": "c1", "events": [*events, ready]}))

    json.dumps(out, allow_nan=False)
    assert out.keys() >= ALWAYS
