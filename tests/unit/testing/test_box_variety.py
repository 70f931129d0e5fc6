from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import ManualClock, Script, TavusBox, catalogue, drawn_script
from airflow_provider_tavus.testing.shapes import SPELLINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str], dict[str, Any]]

READY = "application.transcription_ready"


def test_every_kind_of_turn_can_be_asked_for(box: TavusBox, clock: ManualClock, read: Read) -> None:
    conversation_id = box.add(Script.finished(turns=catalogue.TURNS.values()))
    clock.advance(3600)

    (transcript,) = (
        event["properties"]["transcript"] for event in read(conversation_id)["events"] if event["event_type"] == READY
    )
    said = dict(zip(catalogue.TURNS, transcript, strict=True))
    assert len(said["system_prompt"]["content"]) > 10_000
    assert "content" not in said["tool_call"]
    assert said["flat_tool_call"]["content"] is None
    assert said["tool_result_as_object"]["content"] == {"matches": []}
    assert said["empty"]["content"] == ""
    assert said["text_instead_of_object"] == "Hello"
    assert said["own_inference_id"]["inference_id"] == "inf_abc123"
    assert "inference_id" in said["assistant"]
    assert "inference_id" not in said["without_inference_id"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(said["broken_tool_call"]["tool_calls"][0]["function"]["arguments"])


def test_every_kind_of_event_can_be_asked_for(box: TavusBox, clock: ManualClock, read: Read) -> None:
    conversation_id = box.add(Script.finished(further_events=tuple(catalogue.FURTHER_EVENTS.values())))
    clock.advance(3600)

    seen = {event["event_type"] for event in read(conversation_id)["events"]}
    asked_for = {event.event_type for event in catalogue.FURTHER_EVENTS.values()}
    assert asked_for - seen == {"conversation.objective.completed"}  # that one comes by callback alone
    assert any("properties" not in event for event in read(conversation_id)["events"])


@pytest.mark.parametrize("field", SPELLINGS)
def test_every_spelling_can_be_read_and_listed(
    box: TavusBox, clock: ManualClock, call: Callable[..., Any], read: Read, field: str
) -> None:
    spellings = SPELLINGS[field]
    ids = [box.add(Script.finished().but(**{field: spelling})) for spelling in spellings]
    clock.advance(3600)

    seen = [json.dumps(read(conversation_id)).replace(conversation_id, "") for conversation_id in ids]
    rows = call("GET", "/v2/conversations").json()["data"]
    assert len(set(seen)) == len(spellings) or field == "list_times"
    assert len(rows) == len(spellings)


def test_the_same_seed_draws_the_same_conversation() -> None:
    assert [drawn_script(seed) for seed in range(20)] == [drawn_script(seed) for seed in range(20)]


def test_drawn_conversations_are_of_every_kind(box: TavusBox, clock: ManualClock, read: Read) -> None:
    ids = [box.add(drawn_script(seed, oddity=0.4)) for seed in range(300)]
    clock.advance(2 * 3600)
    bodies = [read(conversation_id) for conversation_id in ids]

    assert {body["status"] for body in bodies} == {"ended"}
    told = [event for body in bodies for event in body.get("events") or []]
    types = {event["event_type"] for event in told}
    assert types >= {event.event_type for event in catalogue.FURTHER_EVENTS.values() if event.in_reads}
    reasons = {str(event.get("properties", {}).get("shutdown_reason")) for event in told}
    assert {reason.removesuffix(" reached") for reason in reasons} >= set(catalogue.SHUTDOWN_REASONS)
    transcripts = [event["properties"].get("transcript") for event in told if event["event_type"] == READY]
    assert None in transcripts
    turns = [turn for transcript in transcripts for turn in transcript or []]
    times = {type(turn.get("timestamp")) for turn in turns if isinstance(turn, dict)}
    assert times == {float, str, type(None)}
    assert any(first == second for first, second in pairwise(turns))
    seen = [body.get("events", "missing") for body in bodies]
    assert "missing" in seen
    assert None in seen
    assert [] in seen


@pytest.mark.parametrize("seed", range(50))
def test_a_conversation_was_last_updated_when_the_last_thing_happened_in_it(
    box: TavusBox, clock: ManualClock, seed: int
) -> None:
    conversation = box.conversation(box.add(drawn_script(seed, oddity=0.4)))
    turns = [turn.at for turn in conversation.script.turns if turn.at <= (conversation.script.shutdown or 0)]
    events = [moment - conversation.created_at for moment, _ in conversation.timeline()]
    shutdown = conversation.script.shutdown or 0

    updated_at = conversation.updated_at(clock.now() + 86400)

    assert updated_at - conversation.created_at == pytest.approx(max(*turns, *events, shutdown, 0), abs=1e-5)
