from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.conversations.privacy import Privacy, RedactionError

CANARY = "my canary sang at dawn"


def body(*turns: Any, **others: Any) -> bytes:
    events = [
        {"event_type": "application.transcription_ready", "properties": {"transcript": list(turns)}},
        {"event_type": "application.perception_analysis", "properties": {"analysis": f"He said {CANARY}"}},
        {"event_type": "application.raven_memory_evidence", "properties": {"evidence": CANARY}},
        {"event_type": "application.perception_unavailable", "properties": {"reason": "no_vision_history"}},
    ]
    return json.dumps({"conversation_id": "c1", "events": events} | others).encode()


def stored(privacy: Privacy, of: bytes) -> dict[str, Any]:
    return dict(json.loads(privacy.prepare(of)))


def test_what_is_kept_whole_is_kept_as_received() -> None:
    received = b'{ "conversation_id" : "c1", "odd": 1.0e0 }'

    assert Privacy().prepare(received) is received


@pytest.mark.parametrize("role", ["system", "System", " system "])
def test_no_system_turn_is_left(role: str) -> None:
    said = {"role": "user", "content": "Hi"}
    left = stored(Privacy(system_turns=False), body({"role": role, "content": CANARY}, said, CANARY, said))

    assert left["events"][0]["properties"]["transcript"] == [said, CANARY, said]


def test_a_transcript_in_an_unusual_place_has_no_system_turn_either() -> None:
    unusual = {"transcript": [{"role": "system", "content": CANARY}, {"role": "user"}]}
    privacy = Privacy(system_turns=False, perception=False)

    assert stored(privacy, body(analysis=[unusual], **unusual))["analysis"] == [{"transcript": [{"role": "user"}]}]
    assert CANARY.encode() not in privacy.prepare(body(analysis=[unusual], **unusual))


def test_a_field_of_the_conversation_that_is_a_system_turn_goes_too() -> None:
    prompt, said = {"role": "system", "content": CANARY}, {"role": "user", "content": "Hi"}

    left = stored(Privacy(system_turns=False, perception=False), body(first_turn=prompt, second_turn=said))

    assert "first_turn" not in left
    assert left["second_turn"] == said


def test_a_transcript_in_json_in_a_text_has_no_system_turn_either() -> None:
    inner = json.dumps({"transcript": [{"role": "system", "content": CANARY}, {"role": "user", "content": "Hi"}]})
    twice = json.dumps([{"transcript": "no list", "body": inner}])
    privacy = Privacy(system_turns=False)

    left = stored(privacy, body(request={"body": inner}, again=twice, cut=inner[:-1], other='{"transcript": 1}'))

    assert json.loads(left["request"]["body"]) == {"transcript": [{"role": "user", "content": "Hi"}]}
    assert CANARY not in left["again"]
    assert left["cut"] is None
    assert left["other"] == '{"transcript":1}'
    said = {"role": "user", "content": 'I wrote {"transcript": } today'}
    assert stored(privacy, body(said))["events"][0]["properties"]["transcript"] == [said]


PROMPT_AND_WORDS = [{"role": "system", "content": CANARY}, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    "sent",
    [
        json.dumps(PROMPT_AND_WORDS),
        json.dumps(json.dumps(PROMPT_AND_WORDS)),
        json.dumps([json.dumps(turn) for turn in PROMPT_AND_WORDS]),
        json.dumps({"transcript": json.dumps(PROMPT_AND_WORDS)}),
        "\ufeff \n" + json.dumps({"transcript": PROMPT_AND_WORDS}),
        json.dumps({"Messages": PROMPT_AND_WORDS}),
        {"transcript": json.dumps(PROMPT_AND_WORDS)},
        {"transcript": json.dumps(json.dumps(PROMPT_AND_WORDS))},
        {"messages": PROMPT_AND_WORDS},
        {"first": PROMPT_AND_WORDS[0], "then": "Hi"},
    ],
)
def test_in_whatever_way_turns_are_spelt_those_of_the_system_go_and_others_stay(sent: Any) -> None:
    left = Privacy(system_turns=False, perception=False).prepare(body(request={"body": sent}))

    assert CANARY.encode() not in left
    assert b"Hi" in left


@pytest.mark.parametrize(
    "sent",
    [
        json.dumps(PROMPT_AND_WORDS)[:-1],
        "transcript=" + json.dumps(PROMPT_AND_WORDS),
        str(PROMPT_AND_WORDS),
        json.dumps(PROMPT_AND_WORDS[0]),
        {"transcript": f"system: {CANARY}"},
        {"transcript": json.dumps(f"system: {CANARY}")},
        json.dumps({"transcript": f"system: {CANARY}"}),
    ],
)
def test_where_nobody_can_tell_which_turns_are_the_systems_all_go(sent: Any) -> None:
    left = Privacy(system_turns=False, perception=False).prepare(body(request={"body": sent}))

    assert CANARY.encode() not in left


@pytest.mark.parametrize(
    "words", ["[laughs] What is my role?", '{ I said "role" }', '"[sighs] The transcript" is its name', "system"]
)
def test_words_that_only_look_like_json_stay(words: str) -> None:
    said = {"role": "user", "content": words}

    left = stored(Privacy(system_turns=False), body(said))

    assert left["events"][0]["properties"]["transcript"] == [said]


def test_nothing_that_the_camera_saw_is_left_but_that_it_saw_nothing() -> None:
    left = stored(Privacy(perception=False), body())

    assert [event["event_type"] for event in left["events"]] == [
        "application.transcription_ready",
        "application.perception_unavailable",
    ]


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("secret", {"secret": CANARY}),
        ("secret.inner", {"secret": {"inner": CANARY}}),
        ("secret.inner", {"secret": [{"inner": {"deep": CANARY}}, [{"inner": CANARY}], "other"]}),
    ],
)
def test_a_field_is_left_out_wherever_its_names_lead(field: str, sent: Any) -> None:
    assert CANARY.encode() not in Privacy(leave_out=[field], perception=False).prepare(body(**sent))


def test_a_field_of_turns_is_left_out_of_every_turn() -> None:
    left = stored(Privacy(leave_out=["turns.content"]), body({"role": "user", "content": CANARY}, None, "odd"))

    assert left["events"][0]["properties"]["transcript"] == [{"role": "user"}, None, "odd"]


def test_a_field_that_is_not_there_is_no_matter() -> None:
    assert stored(Privacy(leave_out=["nowhere.to.be.found", "events.nowhere", "turns.x"]), body()) == json.loads(body())


@pytest.mark.parametrize("field", ["face_id", "replica_id"])
@pytest.mark.parametrize("sent", ["face_id", "replica_id"])
def test_a_field_that_has_an_older_name_is_left_out_under_both(field: str, sent: str) -> None:
    joined = {"event_type": "system.replica_joined", "properties": {sent: CANARY, "x": 1}}
    privacy = Privacy(leave_out=[field, f"events.properties.{field}"])
    left = stored(privacy, body(events=[joined], **{sent: CANARY}))
    assert left == {"conversation_id": "c1", "events": [joined | {"properties": {"x": 1}}]}


@pytest.mark.parametrize("leave_out", ["content", ["a..b"], [""], [7], ["conversation_id"]])
def test_what_names_no_field_is_refused_at_once(leave_out: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="leave_out"):
        Privacy(leave_out=leave_out)


def test_a_redaction_that_cannot_be_called_is_refused_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match="callable"):
        Privacy(redact="redact")  # type: ignore[arg-type]


def test_a_redaction_says_what_is_stored() -> None:
    def redact(conversation: dict[str, Any]) -> dict[str, Any]:
        for turn in conversation["events"][0]["properties"]["transcript"]:
            turn["content"] = turn["content"].replace(CANARY, "…")
        return conversation

    privacy = Privacy(redact=redact, perception=False)

    assert CANARY.encode() not in privacy.prepare(body({"role": "user", "content": f"I know that {CANARY}."}))


def test_a_redaction_does_not_see_what_is_left_out() -> None:
    seen: list[str] = []

    def redact(conversation: dict[str, Any]) -> dict[str, Any]:
        seen.append(json.dumps(conversation))
        return conversation

    Privacy(redact=redact, perception=False, leave_out=["name"]).prepare(body(name=CANARY))

    assert CANARY not in seen[0]


def raises(conversation: dict[str, Any]) -> Any:
    raise KeyError(CANARY)


def returns_nothing(conversation: dict[str, Any]) -> Any:
    return None


def returns_text(conversation: dict[str, Any]) -> Any:
    return json.dumps(conversation)


def returns_another(conversation: dict[str, Any]) -> Any:
    return conversation | {"conversation_id": CANARY}


def returns_no_json(conversation: dict[str, Any]) -> Any:
    return conversation | {"said": {CANARY}}


def returns_nan(conversation: dict[str, Any]) -> Any:
    return conversation | {"said": float("nan")}


def returns_a_lone_surrogate(conversation: dict[str, Any]) -> Any:
    return conversation | {"said": f"{CANARY}\ud800"}


@pytest.mark.parametrize(
    "redact",
    [raises, returns_nothing, returns_text, returns_another, returns_no_json, returns_nan, returns_a_lone_surrogate],
)
def test_a_redaction_that_goes_wrong_stores_nothing_and_tells_no_word(redact: Any) -> None:
    with pytest.raises(RedactionError, match="Conversation c1 could not be redacted: ") as raised:
        Privacy(redact=redact).prepare(body({"role": "user", "content": CANARY}))

    assert CANARY not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None


@pytest.mark.parametrize("received", [b"", b"[]", b'{"said": "my canary sang at dawn"}', b"my canary sang at dawn"])
def test_what_cannot_be_read_cannot_be_stored(received: bytes) -> None:
    with pytest.raises(RedactionError) as raised:
        Privacy(perception=False).prepare(received)

    assert CANARY not in "".join(traceback.format_exception(raised.value))


def test_what_ends_a_task_is_no_fault_of_the_redaction() -> None:
    def interrupted(conversation: dict[str, Any]) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Privacy(redact=interrupted).prepare(body())


@given(st.permutations(["a", "b", "events", "conversation_id"]))
def test_the_order_of_fields_changes_no_byte(names: list[str]) -> None:
    sent: dict[str, Any] = {"a": 1, "b": {"y": 1, "x": 2}, "events": [], "conversation_id": "c1"}
    received = json.dumps({name: sent[name] for name in names}).encode()

    assert (
        Privacy(perception=False).prepare(received) == json.dumps(sent, sort_keys=True, separators=(",", ":")).encode()
    )
