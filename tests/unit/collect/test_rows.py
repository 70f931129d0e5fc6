"""What becomes a row, held against the one shape in which a conversation is handed out elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.collect.rows import Rows, rows_of
from airflow_provider_tavus.collect.tables import by_table, json_lines
from airflow_provider_tavus.conversations.plain import as_plain

READY = "application.transcription_ready"


def rows(*turns: Any, **body: Any) -> Rows:
    ready = {"event_type": READY, "properties": {"transcript": list(turns)}}
    return rows_of(Conversation.from_json({"conversation_id": "c1", "events": [ready]} | body))


def test_a_conversation_has_one_row_and_each_turn_and_event_its_own() -> None:
    found = rows({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"})

    assert [len(table) for table in found] == [1, 2, 1]
    assert [(turn.conversation_id, turn.turn_index, turn.role) for turn in found.turns] == [
        ("c1", 0, "user"),
        ("c1", 1, "assistant"),
    ]
    assert (found.events[0].event_index, found.events[0].event_type) == (0, READY)


def test_an_event_without_a_transcript_takes_no_turns_away() -> None:
    said = {"event_type": READY, "properties": {"transcript": [{"role": "user", "content": "Hi"}], "replica_id": "r1"}}

    found = rows(events=[said, {"event_type": READY, "properties": {"transcript": "to come"}}])

    assert [turn.content for turn in found.turns] == ["Hi"]
    assert [event.properties for event in found.events] == [{"replica_id": "r1"}, {"transcript": "to come"}]


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-08-11T23:02:15.500000Z",
        "2026-08-11T23:02:15.5",
        "2026-08-12T01:02:15.5+02:00",
        1786489335.5,
        1786489335500,
        "1786489335.5",
    ],
)
def test_a_time_is_the_same_however_it_is_spelt(timestamp: Any) -> None:
    (turn,) = rows({"role": "user", "timestamp": timestamp}).turns

    assert turn.timestamp == datetime(2026, 8, 11, 23, 2, 15, 500_000, tzinfo=UTC)
    assert b'"2026-08-11T23:02:15.500000Z"' in json_lines([turn])


@pytest.mark.parametrize(
    "odd",
    [
        "no object",
        None,
        {"role": 7},
        {"content": ["a", "list"]},
        {"timestamp": "yesterday"},
        {"duration": "nan"},
        {"duration": True},
        {"tool_calls": "none"},
        {"conversation_id": 1, "turn_index": "x", "extra": []},
    ],
)
def test_one_odd_turn_costs_no_other(odd: Any) -> None:
    said = {"role": "user", "content": "Hi", "duration": 1.5, "seconds_from_start": 2}

    before, _, after = rows(said, odd, said).turns

    assert (before.turn_index, after.turn_index) == (0, 2)
    for turn in (before, after):
        assert (turn.role, turn.content, turn.duration, turn.seconds_from_start) == ("user", "Hi", 1.5, 2)


def test_content_that_is_no_text_is_its_json() -> None:
    found = rows({"role": "tool", "content": {"b": 1, "a": [None]}}, {"content": None}, {}, "just text", 7).turns

    assert [turn.content for turn in found] == ['{"a":[null],"b":1}', None, None, "just text", "7"]


def test_what_has_no_column_stands_in_extra() -> None:
    found = rows_of(
        Conversation.from_json(
            {
                "conversation_id": "c1",
                "document_ids": ["d1"],
                "events": [
                    {"event_type": "canvas.interaction", "message_type": "canvas", "properties": {"x": 1}},
                    {
                        "event_type": READY,
                        "properties": {
                            "transcript": [{"role": "user", "mood": "glad", "extra": 1, "turn_index": 9}],
                            "replica_id": "r1",
                        },
                    },
                ],
            }
        )
    )

    assert found.conversations[0].extra == {"document_ids": ["d1"]}
    assert found.turns[0].extra == {"mood": "glad", "extra": 1, "turn_index": 9}
    assert [event.extra for event in found.events] == [{"message_type": "canvas"}, None]
    assert [event.properties for event in found.events] == [{"x": 1}, {"replica_id": "r1"}]


@pytest.mark.parametrize("name", ["ended_at", "turns", "responses", "user_talk_share", "extra"])
def test_a_field_that_only_has_the_name_of_a_column_stands_in_extra(name: str) -> None:
    (row,) = rows(**{name: "sent"}, shutdown_reason="max_call_duration", face_id=None, replica_id="r1").conversations

    assert row.extra == {name: "sent"}
    assert (row.shutdown_reason, row.face_id) == ("max_call_duration", "r1")


def test_an_odd_turn_costs_no_other_its_extra() -> None:
    found = rows({"mood": "glad"}, {"role": "user"}, "no object", {"mood": 1, "role": []}).turns

    assert [turn.extra for turn in found] == [{"mood": "glad"}, None, None, {"mood": 1}]


def test_what_opens_a_room_is_in_no_table() -> None:
    secrets = {
        "conversation_url": "https://tavus.daily.co/canary",
        "callback_url": "https://example.com/canary",
        "meeting_token": "canary",
        "webhook_url": "https://example.com/canary",
    }
    said = {"transcript": [{"role": "user"}]}

    found = rows(
        **secrets,
        events=[{"event_type": each, "properties": secrets | said} | secrets for each in ("system.shutdown", READY)],
    )

    assert b"canary" not in b"".join(json_lines(rows) for _, rows in by_table(found))


def test_without_a_transcript_nothing_is_counted() -> None:
    (row,) = rows_of(Conversation.from_json({"conversation_id": "c1", "status": "ended", "events": None})).conversations

    assert row.turns is None
    assert row.user_talk_seconds is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
epochs = st.floats(-1e12, 1e12) | st.integers(-(10**12), 10**12).map(lambda milliseconds: milliseconds / 1000)
times = (
    epochs
    | epochs.map(str)
    | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
    | st.sampled_from(["nan", "null", "5"])
)
usual = {
    "role": st.sampled_from(["user", "assistant", "system", "tool"]),
    "content": st.text(),
    "timestamp": times,
    "seconds_from_start": st.floats(0, 1e6) | st.integers(0, 10**6) | st.sampled_from(["nan", "inf", "null", "5"]),
    "duration": st.floats(-1, 1e6) | st.integers(0, 10**6),
    "inference_id": st.text(max_size=5),
    "tool_call_id": st.text(max_size=5),
    "tool_calls": json_values,
}
turns = st.fixed_dictionaries({}, optional={name: value | st.none() for name, value in usual.items()})
odd_turns = json_values | st.dictionaries(st.sampled_from([*usual, "turn_index", "extra", "x"]), json_values | times)
root_fields = st.sampled_from(["status", "created_at", "events", "replica_id", "pal_id", "turns", "extra"])
event_fields = st.sampled_from(["event_type", "timestamp", "properties", "webhook_url", "extra"])


@given(
    st.dictionaries(root_fields | st.text(max_size=5), json_values),
    st.lists(st.dictionaries(event_fields, json_values), max_size=3),
    st.lists(turns, max_size=5) | st.lists(turns | odd_turns, max_size=5),
)
def test_whatever_tavus_sends_becomes_the_rows_of_the_shape_that_we_hand_out(
    body: Any, events: Any, transcript: Any
) -> None:
    ready = {"event_type": READY, "properties": {"transcript": transcript}}
    conversation = Conversation.from_json(body | {"conversation_id": "c1", "events": [*events, ready]})

    found = rows_of(conversation)

    for turn, sent in zip(found.turns, transcript, strict=True):
        beyond = {name: sent[name] for name in sent if name not in usual} if isinstance(sent, dict) else {}
        assert (turn.conversation_id, turn.extra) == ("c1", beyond or None)
    plain = as_plain(conversation)
    for line, handed_out in zip(read_back(found.turns), plain["transcript"] or [], strict=True):
        for name in ("role", "timestamp", "seconds_from_start", "duration"):
            assert line[name] == handed_out[name]
        if isinstance(handed_out["content"], str | None):
            assert line["content"] == handed_out["content"]
        else:
            assert json.loads(line["content"]) == handed_out["content"]
    for line, handed_out in zip(read_back(found.events), plain["events"], strict=True):
        for name in ("event_type", "timestamp", "properties"):
            assert line[name] == handed_out[name]
    (line,) = read_back(found.conversations)
    for name in ("conversation_name", "status", "face_id", "pal_id", "created_at", "ended_at", "shutdown_reason"):
        assert line[name] == plain[name]


@given(st.lists(turns, min_size=1, max_size=3))
@example([{"timestamp": 253_402_300_800.0}])
@example([{"timestamp": "9999-12-31T23:59:59.9999999Z"}])
@example([{"timestamp": "9999-12-31T23:59:59-05:00"}])
@example([{"timestamp": "2026-04-29t03:47:01z"}])
@example([{"timestamp": "2026-04-29T03:47:01.123456789Z"}])
@example([{"timestamp": "2026-04-29T03:47:01.5Z"}, {"timestamp": "2026-04-29T03:47:01+02:00"}])
@example([{"timestamp": "-0"}])
@example([{"timestamp": 100_000_000_001.0}])
@example([{"timestamp": 1_777_434_421.123_456_5}])
def test_turns_that_are_read_at_once_are_those_that_are_read_one_by_one(transcript: Any) -> None:
    # With an odd one among them, each is read by itself.
    *one_by_one, _ = rows(*transcript, {"role": []}).turns

    assert rows(*transcript).turns == one_by_one


def read_back(table: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in json_lines(table).splitlines()]
