from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tavus.api.models import Conversation, ConversationPage, Event, Turn
from airflow_provider_tavus.conversations.plain import as_plain

SAMPLES = Path(__file__).parents[4] / "shared" / "payloads"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample bodies are not beside this checkout")


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


@needs_samples
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_body_parses_and_loses_no_field(path: Path) -> None:
    body = json.loads(path.read_text())
    if "data" in body:
        page = ConversationPage.from_json(body)
        assert len(page.rows) == len(body["data"])
        assert page.total_count == body["total_count"]
    elif "event_type" in body:
        event = Event.model_validate(body)
        assert event.properties == body["properties"]
        assert set(event.model_extra or {}) == body.keys() - {"event_type", "timestamp", "properties"}
    elif "conversation_id" in body:
        conversation = Conversation.from_json(body)
        assert len(conversation.events or []) == len(body.get("events") or [])
    else:
        assert path.stem == "22-errors"


@needs_samples
def test_the_documented_example_in_the_shape_that_we_hand_out() -> None:
    plain = as_plain(Conversation.from_json(sample("02-get-verbose-doc")))

    assert plain["shutdown_reason"] == "participant_left_timeout"
    assert plain["ended_at"] == "2026-04-29T03:47:01Z"
    assert (plain["face_id"], plain["pal_id"]) == ("replica_abc", "persona_xyz")
    assert plain["transcript"][1] == {
        "role": "user",
        "content": "Just testing.",
        "timestamp": "2026-05-22T18:48:04.880000Z",
        "seconds_from_start": 27.04,
        "duration": 1.84,
    }
    assert [event["properties"] for event in plain["events"]] == [{}, {}, {"reason": "participant_left_timeout"}]


@needs_samples
def test_turns_of_tools_keep_what_they_carry() -> None:
    plain = as_plain(Conversation.from_json(sample("15-get-verbose-tool-roles")))

    assert plain["transcript"][4]["tool_calls"][0]["function"]["name"] == "grep_transcripts"
    assert plain["transcript"][7] == {
        "role": "tool",
        "content": {"matches": []},
        "timestamp": None,
        "seconds_from_start": 17.0,
        "duration": None,
        "tool_call_id": "call_1_result",
    }
    assert [event["event_type"] for event in plain["events"]][-1] == "application.raven_memory_evidence"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-04-29T03:47:01Z", datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC)),
        ("2026-04-29T05:47:01.500000+02:00", datetime(2026, 4, 29, 3, 47, 1, 500000, tzinfo=UTC)),
        ("2026-04-29T03:47:01", datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC)),
        ("2026-04-29t03:47:01z", datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC)),
        (1777434421, datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC)),
        (1777434421000, datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC)),
        ("1777434421", datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        (None, None),
        (True, None),
        ([], None),
        (1e300, None),
        (float("nan"), None),
    ],
)
def test_times_are_read_in_every_form_and_nonsense_is_none(value: Any, moment: datetime | None) -> None:
    assert Turn.from_json({"timestamp": value}).timestamp == moment


@pytest.mark.parametrize("odd", [None, "", 7, 1.5, True, [], {}, "text", ["text"], {"a": 1}], ids=repr)
@pytest.mark.parametrize("name", sorted(Conversation.model_fields.keys() - {"conversation_id"}))
def test_an_odd_field_costs_no_other(name: str, odd: Any) -> None:
    body = {"conversation_id": "c1", "status": "ended", "created_at": "2026-04-29T03:47:01Z"}

    conversation = Conversation.from_json(body | {name: odd})

    assert conversation.conversation_id == "c1"
    if name != "created_at":
        assert conversation.created_at is not None


@pytest.mark.parametrize("odd", [None, "", 7, "text", [], {}, {"role": {}}, {"duration": "long"}], ids=repr)
def test_a_bad_turn_costs_no_other(odd: Any) -> None:
    turns = [{"role": "user", "content": "Hi"}, odd, {"role": "assistant", "content": "Hello"}]
    event = {"event_type": "application.transcription_ready", "properties": {"transcript": turns}}

    transcript = as_plain(Conversation.from_json({"conversation_id": "c1", "events": [event]}))["transcript"]

    assert [turn["content"] for turn in transcript][::2] == ["Hi", "Hello"]
    assert len(transcript) == 3


def test_equal_turns_are_both_kept() -> None:
    turns = [{"role": "user", "content": "Yes."}] * 2
    event = {"event_type": "application.transcription_ready", "properties": {"transcript": turns}}

    assert len(as_plain(Conversation.from_json({"conversation_id": "c1", "events": [event]}))["transcript"]) == 2


@pytest.mark.parametrize("odd", [None, "text", {}, {"conversation_id": None}, {"conversation_id": 7}], ids=repr)
def test_a_row_without_an_id_costs_no_other(odd: Any) -> None:
    page = ConversationPage.from_json({"data": [{"conversation_id": "c1"}, odd, {"conversation_id": "c2"}]})

    assert [row.conversation_id for row in page.rows] == ["c1", "c2"]
    assert page.total_count is None


def test_old_and_new_names_are_one_thing() -> None:
    old = Conversation.from_json({"conversation_id": "c1", "replica_id": "r1", "persona_id": "p1"})
    new = Conversation.from_json({"conversation_id": "c1", "face_id": "r1", "pal_id": "p1"})

    assert as_plain(old) == as_plain(new)


@pytest.mark.parametrize("older", ["r1", None])
def test_a_newer_name_that_is_null_does_not_hide_the_older_one(older: str | None) -> None:
    sent = {"conversation_id": "c1", "face_id": None, "replica_id": older, "pal_id": "p1", "persona_id": "p0"}

    conversation = Conversation.from_json(sent)

    assert (conversation.face_id, conversation.pal_id) == (older, "p1")
    assert conversation.model_extra == {"persona_id": "p0"}


@pytest.mark.parametrize("body", [None, [], "text", 7, {}, {"conversation_id": None}])
def test_what_is_no_conversation_is_refused_without_being_quoted(body: Any) -> None:
    with pytest.raises(ValueError, match="Conversation") as refused:
        Conversation.from_json(body)
    assert "input_value" not in str(refused.value)


def test_no_repr_shows_what_was_said() -> None:
    turn = {"role": "user", "content": "my secret"}
    event = {"event_type": "application.transcription_ready", "properties": {"transcript": [turn]}}
    conversation = Conversation.from_json(
        {"conversation_id": "c1", "status": "ended", "events": [event], "conversation_url": "https://room.example"}
    )

    assert repr(conversation) == "Conversation(conversation_id='c1', status='ended')"
    for shown in (
        conversation,
        conversation.events,
        Turn.from_json(turn),
        ConversationPage.from_json({"data": [{"conversation_id": "c1", "conversation_url": "https://room.example"}]}),
    ):
        assert "secret" not in f"{shown!r} {shown!s}"
        assert "room.example" not in f"{shown!r} {shown!s}"
