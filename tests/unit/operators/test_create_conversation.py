from __future__ import annotations

import time
from collections import UserList
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_tavus.api import errors
from airflow_provider_tavus.conversations.create_body import FIELDS, PROPERTIES
from airflow_provider_tavus.conversations.identity import Mark
from airflow_provider_tavus.operators import create_conversation
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.testing import ListView, Script, TavusBox
from airflow_provider_tavus.testing.create import FIELDS as KNOWN_TO_THE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable


def create(**arguments: Any) -> CreateConversationOperator:
    return CreateConversationOperator(task_id="create", **{"pal_id": "p1"} | arguments)


def ids(box: TavusBox) -> list[str]:
    return [conversation.conversation_id for conversation in box.world]


@pytest.fixture(autouse=True)
def live_calls(manual_box: TavusBox) -> None:
    manual_box.account.on_create = lambda body: Script.active()


def test_what_is_asked_for_is_sent_and_a_mark_follows_the_name(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    sent: list[dict[str, Any]] = []
    manual_box.account.on_create = lambda body: sent.append(body) or Script.active()  # type: ignore[func-returns-value]

    result = task.run(
        create(
            conversation_name="Interview 7",
            face_id="r1",
            properties={"max_call_duration": 600, "not_yet_invented": [1]},
            extra_fields={"also_new": {"a": 1}},
            test_mode="False",
        )
    )

    (body,) = sent
    assert body == {
        "face_id": "r1",
        "pal_id": "p1",
        "conversation_name": body["conversation_name"],
        "properties": {"max_call_duration": 600, "not_yet_invented": [1]},
        "also_new": {"a": 1},
        "test_mode": False,
    }
    assert body["conversation_name"].startswith("Interview 7 [airflow ")
    assert Mark.of(body["conversation_name"])
    assert (result["conversation_id"], result["status"]) == (*ids(manual_box), "active")
    assert task.xcoms["conversation_id"] == result["conversation_id"]


def test_the_room_and_the_token_are_left_out_unless_named(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    assert not {"conversation_url", "meeting_token", "callback_url"} & new_task().run(create(require_auth=True)).keys()

    named = new_task(run_id="2").run(create(require_auth=True, include=["meeting_token", "conversation_url"]))
    assert named["meeting_token"]
    assert named["conversation_url"].startswith("https://")
    assert "callback_url" not in named


def test_a_first_try_asks_for_nothing_but_the_conversation(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    new_task().run(create())
    assert [request.route for request in manual_box.requests] == ["create"]


def test_a_try_that_airflow_does_not_count_is_a_first_one(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    task = new_task(try_number=-1)
    task.run(create())
    assert task.try_number == 0, "as in `airflow tasks test`"
    assert [request.route for request in manual_box.requests] == ["create"]


def test_a_search_for_what_an_earlier_try_created_is_announced(
    manual_box: TavusBox, new_task: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="airflow_provider_tavus")
    manual_box.trouble("reset", route="create", times=1)
    manual_box.trouble(status=503, route="list", times=500)
    task = new_task()
    with pytest.raises(errors.TavusError):
        task.run(create())
    manual_box.stop_troubles()
    announcement = "An earlier try may have created the conversation: looking for it, for up to"
    assert announcement not in caplog.text

    task.run(create())

    assert caplog.text.count(announcement) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "lost_answer"},
        {"kind": "lost_answer", "hangs": True},
        {"kind": "cut"},
        {"kind": "drip", "seconds": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("lag", [0.0, 30.0])
@pytest.mark.parametrize("body", [{}, {"test_mode": True}], ids=["live", "over at once"])
def test_an_answer_that_is_lost_makes_no_second_conversation(
    trouble: dict[str, Any], lag: float, body: dict[str, Any], manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.trouble(route="create", times=1, **trouble)
    manual_box.account.list_view = ListView(lag=lag)
    task = new_task()

    result = task.run(create(**body))

    assert ids(manual_box) == [result["conversation_id"]]
    assert manual_box.count("create") == 1
    assert task.xcoms["conversation_id"] == result["conversation_id"]


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_an_answer_that_is_lost_after_the_request_had_to_be_repeated_makes_no_second_conversation(
    refusals: int, manual_box: TavusBox, new_task: Callable[..., Any], connect: Callable[..., str]
) -> None:
    connect(host=manual_box.base_url, password=manual_box.api_key, extra={"read_timeout": 0.5, "retries": refusals})
    manual_box.trouble(route="create", status=429, retry_after=0, times=refusals)
    manual_box.trouble("lost_answer", route="create")
    manual_box.account.list_view = ListView(lag=45)
    manual_box.each_request_takes(30, "create")

    result = new_task().run(create())

    assert ids(manual_box) == [result["conversation_id"]]
    assert manual_box.count("create") == refusals + 1


@pytest.mark.parametrize("trouble", [{"status": 500}, {"kind": "reset"}, {"kind": "html", "status": 200}], ids=str)
def test_what_may_have_been_created_and_was_not_is_created_by_the_retry(
    trouble: dict[str, Any], manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.trouble(route="create", times=1, **trouble)
    task = new_task()
    began = manual_box.clock.now()

    with pytest.raises(errors.TavusError) as raised:
        task.run(create())
    assert raised.value.transient
    assert ids(manual_box) == []
    assert manual_box.clock.now() - began >= 60, "so long it may have been on its way into the list"

    result = task.run(create())
    assert ids(manual_box) == [result["conversation_id"]]


def test_nothing_is_created_while_the_list_cannot_be_read(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    manual_box.trouble("lost_answer", route="create", times=1)
    outage = manual_box.trouble(status=503, route="list")
    task = new_task()

    for _ in range(2):
        with pytest.raises(errors.TavusError) as raised:
            task.run(create())
        assert raised.value.transient
    outage.stop()

    result = task.run(create())
    assert ids(manual_box) == [result["conversation_id"]]
    assert manual_box.count("create") == 1


@pytest.mark.parametrize(
    ("status", "says"), [(400, "because"), (401, "valid API key"), (402, "because"), (403, "because")]
)
def test_a_refusal_is_no_reason_to_look_and_none_to_retry(
    status: int, says: str, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.trouble(route="create", status=status, body={"error": "because"})
    with pytest.raises(AirflowFailException, match=says):
        new_task().run(create())
    assert manual_box.count("list") == 0


def test_an_empty_account_says_what_to_do(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    manual_box.account.credits = 0
    with pytest.raises(AirflowFailException, match="Top up the Tavus account"):
        new_task().run(create())


def test_what_a_mapped_task_returned_is_a_list(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    sent: list[dict[str, Any]] = []
    manual_box.account.on_create = lambda body: sent.append(body) or Script.active()  # type: ignore[func-returns-value]

    # As Airflow's own LazyXComSequence: no list, but a sequence.
    new_task().run(create(document_ids=UserList(["d1", "d2"])))

    assert sent[0]["document_ids"] == ["d1", "d2"]


# -- clearing --------------------------------------------------------------------------------------------------------


def test_a_task_that_succeeded_and_is_cleared_creates_a_new_one(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    first = task.run(create())
    manual_box.end(first["conversation_id"])
    task.clear()

    second = task.run(create())

    assert ids(manual_box) == [first["conversation_id"], second["conversation_id"]]


def test_a_task_that_is_cleared_can_hand_out_the_old_one(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    task = new_task()
    first = task.run(create(when_cleared="reuse"))
    manual_box.end(first["conversation_id"])
    for _ in range(2):
        task.clear()
        assert task.run(create(when_cleared="reuse"))["conversation_id"] == first["conversation_id"]
    assert manual_box.count("create") == 1


def test_a_task_that_was_not_done_goes_on_with_the_same_one_when_cleared(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    manual_box.trouble("lost_answer", route="create", times=1)
    manual_box.trouble(status=503, route="list", lasting=500)
    with pytest.raises(errors.TavusError):
        task.run(create())
    manual_box.advance(1000)
    task.clear()

    task.run(create())

    assert len(ids(manual_box)) == 1


@pytest.mark.parametrize("when_cleared", ["create", "reuse"])
@pytest.mark.parametrize("was_done", [True, False], ids=["done", "not done"])
def test_a_conversation_that_was_deleted_is_not_taken_up_for_ever(
    was_done: bool, when_cleared: Any, manual_box: TavusBox, new_task: Any
) -> None:
    task = new_task()
    if task.store is None:
        pytest.skip("without a state store nobody remembers it")
    first = task.run(create(when_cleared=when_cleared))
    manual_box.remove(first["conversation_id"])
    if was_done:
        task.clear()
    else:
        task.store["conversation"] |= {"concluded_in": None}

    if when_cleared == "reuse" or not was_done:
        with pytest.raises(AirflowFailException, match="was not deleted"):
            task.run(create(when_cleared=when_cleared))
        task.clear()

    assert task.run(create(when_cleared=when_cleared))["conversation_id"] != first["conversation_id"]


# -- whose it is -----------------------------------------------------------------------------------------------------


def test_what_others_created_under_the_same_name_is_never_taken_up(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    operator = create(conversation_name="Interview")
    others = {
        manual_box.add(Script.active(), name="Interview"),
        new_task(run_id="2").run(operator)["conversation_id"],
        new_task(task_id="another").run(operator)["conversation_id"],
        new_task(map_index=0).run(operator)["conversation_id"],
        new_task(dag_id="another").run(operator)["conversation_id"],
    }
    task = new_task()
    manual_box.trouble("reset", route="create", times=1)
    with pytest.raises(errors.TavusError):
        task.run(operator)

    assert task.run(operator)["conversation_id"] not in others


def test_another_deployment_with_the_same_dags_has_its_own(
    manual_box: TavusBox, new_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = new_task()
    theirs = new_task()
    for section in ("API", "WEBSERVER"):
        monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "https://staging.example.com")
    there = theirs.run(create())
    for section in ("API", "WEBSERVER"):
        monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "https://airflow.example.com")
    manual_box.trouble("reset", route="create", times=1)
    with pytest.raises(errors.TavusError):
        ours.run(create())

    assert ours.run(create())["conversation_id"] != there["conversation_id"]


def test_a_copy_of_the_name_is_not_taken_for_the_conversation(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    manual_box.trouble("lost_answer", route="create", times=1)
    manual_box.trouble(status=503, route="list", lasting=500)
    with pytest.raises(errors.TavusError):
        task.run(create())
    manual_box.advance(500)
    (original,) = manual_box.world
    manual_box.add(Script.active(), conversation_id="c0", name=original.name)

    assert task.run(create())["conversation_id"] == original.conversation_id


def test_a_name_that_is_copied_from_another_conversation_is_harmless(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    first = new_task().run(create())
    again = create(conversation_name=first["conversation_name"])
    task = new_task(run_id="2")
    second = task.run(again)
    assert second["conversation_id"] != first["conversation_id"]
    if task.store is not None:
        task.store["conversation"] |= {"conversation_id": None, "asked_at": manual_box.clock.now()}
    assert task.run(again)["conversation_id"] == second["conversation_id"]


# -- the plan's limit ------------------------------------------------------------------------------------------------


def test_the_limit_of_the_plan_is_waited_for(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    manual_box.account.concurrency_limit = 1
    manual_box.add(Script.finished(seconds=600))
    task = new_task()

    result = task.run(create(deferrable=False))

    assert result["conversation_id"] in ids(manual_box)
    assert manual_box.count("list") == 0, "a refusal leaves no doubt"
    pauses = CreateConversationOperator._clock.slept  # type: ignore[attr-defined]
    assert all(2.5 <= pause <= 60 for pause in pauses)
    assert len(pauses) < 30
    assert max(pauses) > 20


def test_the_limit_is_not_waited_for_without_end(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    manual_box.account.concurrency_limit = 0
    began = manual_box.clock.now()
    with pytest.raises(AirflowFailException, match=r"maximum concurrent.*raise its plan"):
        new_task().run(create(concurrency_timeout=300, deferrable=False))
    assert manual_box.clock.now() - began == pytest.approx(300)


def test_a_retry_that_waits_for_the_limit_looks_for_its_conversation_once(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task(try_number=1)
    manual_box.account.concurrency_limit = 1
    manual_box.add(Script.finished(seconds=600))

    task.run(create(deferrable=False))

    assert manual_box.count("create") > 3
    assert manual_box.count("list", since=task.start_date.timestamp() + 61) == 0


def test_the_limit_is_waited_for_in_the_triggerer(
    manual_box: TavusBox, new_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here the pauses are real: short ones.
    import airflow_provider_tavus.operators.create_conversation as module

    monkeypatch.setattr(module, "SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(CreateConversationOperator, "_clock", time)
    manual_box.account.concurrency_limit = 1
    manual_box.add(Script.finished(seconds=60))
    manual_box.each_request_takes(10, "create")

    result = new_task().run(create(deferrable=True))

    assert result["status"] == "active"
    assert manual_box.count("create") == 7
    assert manual_box.count("list") == 0


# -- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"pal_id": None}, "Pass a pal_id or a face_id"),
        ({"pal_id": "None"}, "pal_id is 'None'"),
        ({"custom_greeting": "None"}, "custom_greeting is 'None'"),
        ({"memory_stores": ["ada", "None"]}, "one of memory_stores is 'None'"),
        ({"document_tags": [" "]}, "one of document_tags is ' '"),
        ({"properties": {"language": "None"}}, "properties.language is 'None'"),
        ({"persona_id": "p2"}, "pal_id and persona_id say the same thing"),
        ({"face_id": "r1", "replica_id": "r1"}, "face_id and replica_id"),
        ({"memory_stores": ["a"], "participant_tags": ["a"]}, "memory_stores and participant_tags"),
        ({"properties": {"language": "a", "languages": ["a"]}}, "properties.language and properties.languages"),
        ({"properties": {"max_call_duration": "soon"}}, "properties.max_call_duration must be a whole number"),
        ({"properties": {"enable_recording": 1}}, "properties.enable_recording must be True or False"),
        ({"properties": "{}"}, "properties must be a mapping"),
        ({"document_retrieval_strategy": "fast"}, "one of speed, quality, balanced"),
        ({"document_ids": "['a']"}, "render_template_as_native_obj"),
        ({"document_ids": b"a"}, "document_ids must be a list of texts, not bytes"),
        ({"callback_url": "example.com/?token=s3cret"}, "must be a URL"),
        ({"conversation_name": "x" * 201}, "at most 200"),
        ({"conversation_name": 20261127}, "conversation_name must be text, not int.*quote the template"),
        ({"conversation_name": True}, "conversation_name must be text, not bool.$"),
        ({"max_participants": 0}, "from 1 on"),
        ({"test_mode": "perhaps"}, "test_mode must be True or False"),
        ({"extra_fields": {"pal_id": "p2"}}, "an argument of its own"),
        ({"extra_fields": '{"a": "s3cret"}'}, "extra_fields must be a mapping, not str.*render_template_as_native_obj"),
        ({"extra_fields": ["s3cret"]}, "extra_fields must be a mapping, not list"),
        ({"wait_for": "transcript", "wait_for_completion": True}, "no event type"),
    ],
    ids=str,
)
def test_a_body_that_cannot_be_meant_is_refused_before_anything_is_sent(
    arguments: dict[str, Any], says: str, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    with pytest.raises(AirflowFailException, match=says) as raised:
        task.run(create(**arguments))
    assert "s3cret" not in str(raised.value)
    assert manual_box.count() == 0
    assert not task.store


@pytest.mark.parametrize("name", ["pal_id", "callback_url", "properties", "properties.max_call_duration"])
def test_a_field_whose_template_reads_what_is_not_there_is_refused(
    name: str, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    template = "{{ params.what_is_not_there }}"
    field, _, inner = name.partition(".")
    operator = create(face_id="r1", conversation_name=None, **{field: {inner: template} if inner else template})
    # As a DAG with render_template_as_native_obj=True does.
    setattr(operator, field, {inner: None} if inner else None)

    with pytest.raises(AirflowFailException, match=f"{name} is None: what its template reads is not there"):
        new_task().run(operator)
    assert manual_box.count() == 0


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        Decimal(1),
        float("nan"),
        float("-inf"),
        b"s3cret",
        {"s3cret"},
        {("s3cret",): 1},
    ],
    ids=repr,
)
@pytest.mark.parametrize("field", ["extra_fields", "properties"])
def test_what_json_cannot_carry_is_refused_for_good_before_anything_is_noted_or_sent(
    field: str, value: Any, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    with pytest.raises(AirflowFailException, match=f"{field} holds something .*; a date as text") as raised:
        task.run(create(**{field: {"new_field": [{"deeper": value}]}}))
    assert "s3cret" not in str(raised.value)
    assert isinstance(raised.value.__cause__, errors.InvalidArgumentError)
    assert raised.value.__cause__.__suppress_context__, "what an encoder says may quote the value"
    assert manual_box.count() == 0
    assert not task.store


@pytest.mark.parametrize(
    "arguments",
    [
        {"when_cleared": "never"},
        {"cancellation": "kill"},
        {"on_missing": "ignore"},
        {"poke_interval": 0},
        {"include": ["status"]},
        {"concurrency_timeout": -1},
        {"max_wait": -1},
        {"timeout": float("inf")},
        {"timeout": timedelta.max},
        {"concurrency_timeout": float("inf")},
        {"grace_period": float("inf")},
        {"max_wait": float("inf")},
        {"poke_interval": timedelta.max},
    ],
    ids=str,
)
def test_a_choice_that_is_none_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        create(**arguments)


def test_every_field_of_the_body_is_an_argument_and_templated() -> None:
    assert set(FIELDS) <= set(CreateConversationOperator.template_fields)


NEWER_NAMES: dict[str, Any] = {
    "face_id": "r1",
    "pal_id": "p1",
    "audio_only": True,
    "callback_url": "https://example.com/events",
    "conversation_name": "Interview",
    "conversational_context": "The applicant is a baker.",
    "custom_greeting": "Welcome!",
    "memory_stores": ["ada"],
    "document_ids": ["d1"],
    "document_tags": ["bread"],
    "document_retrieval_strategy": "quality",
    "test_mode": False,
    "require_auth": True,
    "max_participants": 2,
    "properties": {
        "max_call_duration": 600,
        "participant_left_timeout": 0,
        "participant_absent_timeout": 120,
        "enable_recording": True,
        "enable_closed_captions": True,
        "apply_greenscreen": False,
        "languages": ["english", "german"],
        "recording_storage": {"provider": "gcs", "bucket_name": "calls"},
    },
}
"""Every documented field of the body, with something that it may be."""
OLDER_NAMES: dict[str, Any] = {
    "replica_id": "r1",
    "persona_id": "p1",
    "participant_tags": ["ada"],
    "properties": {
        "language": "german",
        "recording_s3_bucket_name": "calls",
        "recording_s3_bucket_region": "eu-central-1",
        "aws_assume_role_arn": "arn:aws:iam::1:role/calls",
    },
}


@pytest.mark.parametrize("fields", [NEWER_NAMES, OLDER_NAMES], ids=["newer names", "older names"])
def test_every_documented_field_is_sent_as_it_was_given(
    fields: dict[str, Any], manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    sent: list[dict[str, Any]] = []
    manual_box.account.on_create = lambda body: sent.append(body) or Script.active()  # type: ignore[func-returns-value]

    new_task().run(CreateConversationOperator(task_id="create", **fields))

    (body,) = sent
    name = fields.get("conversation_name", "")
    assert body.pop("conversation_name").startswith(f"{name} [airflow ".lstrip())
    assert body == {field: value for field, value in fields.items() if field != "conversation_name"}


def test_no_field_that_the_service_knows_is_missing() -> None:
    given = NEWER_NAMES | OLDER_NAMES
    assert set(given) == set(FIELDS) == set(KNOWN_TO_THE_SERVICE)
    properties = NEWER_NAMES["properties"] | OLDER_NAMES["properties"]
    assert set(properties) == set(PROPERTIES) == set(KNOWN_TO_THE_SERVICE["properties"]["properties"])


def test_whoever_can_enter_the_room_is_masked_in_logs(
    manual_box: TavusBox, new_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: list[Any] = []
    monkeypatch.setattr("airflow_provider_tavus.operators.create_conversation.mask_secret", masked.append)

    names = ["conversation_url", "meeting_token", "callback_url"]
    operator = create(require_auth=True, callback_url="https://example.com/?token={{ token }}", include=names)
    operator.render_template_fields({"token": "s3cret"})  # type: ignore[typeddict-unknown-key]
    assert masked == ["https://example.com/?token=s3cret"], "before Airflow shows what it rendered"
    result = new_task().run(operator)

    assert set(masked) == {result[name] for name in names}


def test_it_can_be_mapped() -> None:
    with DAG("mapped", schedule=None):
        mapped = CreateConversationOperator.partial(task_id="create", pal_id="p1").expand(conversation_name=["a", "b"])
    assert mapped.operator_class is CreateConversationOperator


# -- callbacks -----------------------------------------------------------------------------------------------------

CALLBACK_TOKEN = "canary-token-0123456789abcdefghijklmnop"


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> str:
    """Configure callbacks, and return the URL they go to."""
    monkeypatch.setattr(create_conversation, "AIRFLOW_V_3_3_PLUS", True)
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_TOKENS", f"{CALLBACK_TOKEN},old-{CALLBACK_TOKEN}")
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_BASE_URL", "https://airflow.example.com")
    return f"https://airflow.example.com/tavus/callbacks/{CALLBACK_TOKEN}"


def test_airflow_itself_can_be_where_callbacks_go(
    callbacks: str, manual_box: TavusBox, new_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: list[str] = []
    monkeypatch.setattr(create_conversation, "mask_secret", masked.append)
    sent: list[dict[str, Any]] = []
    manual_box.account.on_create = lambda body: sent.append(body) or Script.active()  # type: ignore[func-returns-value]
    operator = create(receive_callbacks=True)

    result = new_task().run(operator)

    assert [body["callback_url"] for body in sent] == [callbacks]
    assert callbacks in masked
    assert CALLBACK_TOKEN not in str(result)
    # Nor does the task keep it, whose arguments Airflow shows.
    assert CALLBACK_TOKEN not in str(vars(operator))


def test_two_places_for_callbacks_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="receive_callbacks=True or a callback_url, not both"):
        create(receive_callbacks=True, callback_url="https://example.com")


@pytest.mark.usefixtures("callbacks")
@pytest.mark.parametrize(
    ("settings", "airflow_3_3", "reason"),
    [
        ({"CALLBACK_TOKENS": ""}, True, r"\[tavus\] callback_tokens"),
        ({}, False, "3.3"),
        ({"CALLBACK_TOKENS": "canary"}, True, "Token 1"),
        ({"CALLBACK_BASE_URL": "example.com"}, True, "callback_base_url"),
    ],
)
def test_callbacks_that_would_go_nowhere_are_said_before_anything_is_sent(
    settings: dict[str, str],
    airflow_3_3: bool,
    reason: str,
    manual_box: TavusBox,
    new_task: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(create_conversation, "AIRFLOW_V_3_3_PLUS", airflow_3_3)
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__TAVUS__{name}", value)
    with pytest.raises(AirflowFailException, match=reason) as failure:
        new_task().run(create(receive_callbacks=True))
    assert "canary" not in str(failure.value)
    assert not manual_box.requests
