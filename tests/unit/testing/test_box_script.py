from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import ABSENT, RawTurn, Script, TavusBox, Turn, events

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from airflow_provider_tavus.testing import ManualClock

    Call = Callable[..., requests.Response]
    Read = Callable[[str], dict[str, Any]]

READY = "application.transcription_ready"


def test_a_call_goes_through_its_life_as_the_clock_is_moved(box: TavusBox, clock: ManualClock, read: Read) -> None:
    conversation_id = box.add(Script.finished(seconds=3600, transcript_delay=90))
    assert (read(conversation_id)["status"], _types(read(conversation_id))) == ("active", [])

    clock.advance(3599)
    assert (read(conversation_id)["status"], _types(read(conversation_id))) == (
        "active",
        ["system.replica_joined"],
    )
    clock.advance(1)
    assert read(conversation_id)["status"] == "ended"
    assert _types(read(conversation_id)) == ["system.replica_joined", "system.shutdown"]
    clock.advance(89)
    assert READY not in _types(read(conversation_id))
    clock.advance(1)
    assert _types(read(conversation_id))[-1] == READY
    assert "vegetable garden" in _event(read(conversation_id), READY)["transcript"][0]["content"]


def test_a_transcript_can_come_before_the_shutdown_as_in_the_documented_example(
    box: TavusBox, clock: ManualClock, read: Read
) -> None:
    conversation_id = box.add(Script.finished(seconds=60, transcript_delay=-1))

    clock.advance(59)
    assert (read(conversation_id)["status"], _types(read(conversation_id))[-1]) == ("active", READY)
    clock.advance(1)
    assert _types(read(conversation_id)) == ["system.replica_joined", READY, "system.shutdown"]


def test_a_transcript_can_stay_away_for_ever(box: TavusBox, clock: ManualClock, read: Read) -> None:
    conversation_id = box.add(Script.finished(transcript_delay=None))

    clock.advance(30 * 86400)

    assert _types(read(conversation_id)) == ["system.replica_joined", "system.shutdown"]


def test_a_transcript_that_comes_twice_is_complete_the_second_time(
    box: TavusBox, clock: ManualClock, read: Read
) -> None:
    said = [Turn("user", "Hi"), Turn("assistant", "Hello")]
    conversation_id = box.add(Script.finished(turns=said, transcript_delay=1, transcript_again=60))
    clock.advance(180)

    first, second = (
        event["properties"]["transcript"] for event in read(conversation_id)["events"] if event["event_type"] == READY
    )
    assert [turn["content"] for turn in first] == ["Hi"]
    assert [turn["content"] for turn in second] == ["Hi", "Hello"]


def test_ending_a_call_early_cuts_off_what_was_still_to_be_said(box: TavusBox, clock: ManualClock, read: Read) -> None:
    said = [Turn("user", "Hi", at=5), Turn("user", "Still here?", at=50)]
    conversation_id = box.add(Script.finished(seconds=60, turns=said, transcript_delay=10))
    clock.advance(20)
    box.end(conversation_id)
    clock.advance(10)

    body = read(conversation_id)
    assert _event(body, "system.shutdown") == {"shutdown_reason": "end_conversation_endpoint_hit"}
    assert [turn["content"] for turn in _event(body, READY)["transcript"]] == ["Hi"]


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        (Script.nobody_joined(), "ended", "participant_absent_timeout"),
        (Script.startup_failure(), "ended", "exception_encountered_during_conversation_startup"),
        (Script.finished(ended_status="error", transcript_delay=None), "error", "participant_left_timeout"),
    ],
)
def test_a_call_that_never_gets_a_transcript_says_why_it_ended(
    box: TavusBox, clock: ManualClock, read: Read, script: Script, status: str, reason: str
) -> None:
    conversation_id = box.add(script)
    clock.advance(86400)

    body = read(conversation_id)
    assert body["status"] == status
    assert _event(body, "system.shutdown")["shutdown_reason"] == reason
    assert READY not in _types(body)


def test_what_follows_a_call_comes_in_its_own_time(box: TavusBox, clock: ManualClock, read: Read) -> None:
    following = (
        events.recording_ready(after=30),
        events.post_call_action_executed(after=135),
        events.perception_analysis(after=180),
    )
    conversation_id = box.add(Script.finished(seconds=60, further_events=following))

    clock.advance(60 + 135)
    assert _types(read(conversation_id))[-1] == "application.post_call_action_executed"
    clock.advance(45)
    assert _types(read(conversation_id))[-1] == "application.perception_analysis"


@pytest.mark.parametrize(
    ("spelling", "seen"),
    [
        ({"events": "null"}, None),
        ({"events": "empty"}, []),
        ({"events": "missing"}, "missing"),
    ],
)
def test_events_can_be_null_empty_or_missing(
    box: TavusBox, clock: ManualClock, read: Read, spelling: dict[str, Any], seen: object
) -> None:
    conversation_id = box.add(Script.finished(**spelling))
    clock.advance(3600)

    assert read(conversation_id).get("events", "missing") == seen


def test_a_reason_can_be_spelled_in_the_documented_way_or_in_the_live_one(
    box: TavusBox, clock: ManualClock, read: Read
) -> None:
    documented = box.add(Script.finished(reason_key="reason"))
    live = box.add(Script.finished(reason_reached=True))
    without = box.add(Script.finished(shutdown_reason=None))
    on_top = box.add(Script.finished(top_level_reason="told"))
    clock.advance(3600)

    assert _event(read(documented), "system.shutdown") == {"reason": "participant_left_timeout"}
    assert _event(read(live), "system.shutdown") == {"shutdown_reason": "participant_left_timeout reached"}
    assert _event(read(without), "system.shutdown") == {}
    assert read(on_top)["shutdown_reason"] == "participant_left_timeout"


@pytest.mark.parametrize(
    ("names", "keys"),
    [("old", {"replica_id", "persona_id"}), ("new", {"face_id", "pal_id"}), ("none", set())],
)
def test_a_conversation_says_replica_or_face_but_never_both(
    box: TavusBox, call: Call, names: str, keys: set[str]
) -> None:
    conversation_id = box.add(Script.active(names=names))
    known = {"replica_id", "persona_id", "face_id", "pal_id"}

    assert known & call("GET", f"/v2/conversations/{conversation_id}").json().keys() == keys
    assert known & call("GET", "/v2/conversations").json()["data"][0].keys() == keys


@pytest.mark.parametrize(
    "spelling", [{"event_order": "reverse"}, {"names": "newer"}, {"turn_times": ["iso"]}, {"minimal": "yes"}], ids=str
)
def test_a_spelling_that_does_not_exist_is_refused(spelling: dict[str, Any], call: Call) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(spelling))} must be one of"):
        Script.finished(**spelling)
    described = {"script": {"name": "finished"} | spelling}
    assert call("POST", "/_box/conversations", json=described).status_code == 400


def test_a_minimal_read_has_an_id_and_a_status(box: TavusBox, call: Call) -> None:
    conversation_id = box.add(Script.active(minimal=True))

    assert call("GET", f"/v2/conversations/{conversation_id}").json() == {
        "conversation_id": conversation_id,
        "status": "active",
    }


def test_one_join_can_be_told_twice_and_without_properties(box: TavusBox, clock: ManualClock, read: Read) -> None:
    conversation_id = box.add(Script.active(joined="both", joined_properties=False))
    clock.advance(1)

    assert [event.keys() for event in read(conversation_id)["events"]] == [{"event_type", "timestamp"}] * 2
    assert _types(read(conversation_id)) == ["system.pal_joined", "system.replica_joined"]


@pytest.mark.parametrize(("turn_times", "kind"), [("epoch", float), ("iso", str), ("absent", type(None))])
def test_turns_have_a_time_of_either_type_or_none(
    box: TavusBox, clock: ManualClock, read: Read, turn_times: str, kind: type
) -> None:
    conversation_id = box.add(Script.finished(turn_times=turn_times))
    clock.advance(3600)

    transcript = _event(read(conversation_id), READY)["transcript"]
    assert {type(turn.get("timestamp")) for turn in transcript} == {kind}


def test_turns_of_every_odd_kind_can_be_said(box: TavusBox, clock: ManualClock, read: Read) -> None:
    call = {"id": "call_1", "function": {"name": "look_up", "arguments": "{not json"}}
    odd: list[Turn | RawTurn] = [
        Turn("assistant", ABSENT, tool_calls=(call,)),
        Turn("tool", {"matches": []}, tool_call_id="call_1"),
        Turn("user", None),
        Turn("narrator", ""),
        RawTurn("no object"),
        RawTurn(None),
    ]
    conversation_id = box.add(Script.finished(turns=odd, turn_times="absent"))
    clock.advance(3600)

    assert _event(read(conversation_id), READY)["transcript"] == [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": {"matches": []}, "tool_call_id": "call_1"},
        {"role": "user", "content": None},
        {"role": "narrator", "content": ""},
        "no object",
        None,
    ]


def test_any_body_can_be_put_in_the_place_of_a_conversation(box: TavusBox, read: Read, call: Call) -> None:
    odd = {"conversation_id": "c1", "status": "ended", "events": [17], "future": True}
    box.put_raw("c1", odd)

    assert read("c1") == odd
    assert call("GET", "/v2/conversations").json()["data"] == [
        {"conversation_id": "c1", "status": "ended", "future": True}
    ]


def test_a_read_is_the_same_as_long_as_the_clock_stands_still(box: TavusBox, clock: ManualClock, read: Read) -> None:
    conversation_id = box.add(Script.finished(event_order="shuffled"))
    clock.advance(600)

    assert read(conversation_id) == read(conversation_id)


def test_an_event_has_exactly_one_moment() -> None:
    with pytest.raises(ValueError, match="either"):
        events.ScriptedEvent(event_type="x")
    with pytest.raises(ValueError, match="either"):
        events.ScriptedEvent(event_type="x", at=1, after_shutdown=1)


def _types(body: dict[str, Any]) -> list[str]:
    return [event["event_type"] for event in body["events"]]


def _event(body: dict[str, Any], event_type: str) -> dict[str, Any]:
    (properties,) = (event["properties"] for event in body["events"] if event["event_type"] == event_type)
    assert isinstance(properties, dict)
    return properties
