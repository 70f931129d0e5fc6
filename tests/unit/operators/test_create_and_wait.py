"""Creating a conversation and waiting for it in one task: as the sensor waits, and cancelled as asked."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.conversations.arguments import LONGEST
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor
from airflow_provider_tavus.testing import Script, TavusBox
from airflow_provider_tavus.triggers.created_conversation import CreatedConversationTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER_AND_TRIGGERER = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])


def create(**arguments: Any) -> CreateConversationOperator:
    asked: dict[str, Any] = {
        "pal_id": "p1",
        "wait_for_completion": True,
        "poke_interval": 0.02,
        "timeout": 20,
        "grace_period": 0,
    }
    return CreateConversationOperator(task_id="create", **asked | arguments)


def only(box: TavusBox) -> str:
    (conversation,) = box.world
    return conversation.conversation_id


def is_over(box: TavusBox) -> bool:
    return box.conversation(only(box)).is_over(box.clock.now())


@pytest.fixture(autouse=True)
def short_calls(manual_box: TavusBox) -> None:
    manual_box.account.on_create = lambda body: Script.finished(seconds=60)
    manual_box.each_request_takes(30)


@WORKER_AND_TRIGGERER
def test_it_returns_what_the_sensor_returns(
    deferrable: bool, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    result = task.run(create(deferrable=deferrable))

    sensor = ConversationSensor(task_id="wait", conversation_id=only(manual_box), mode="poke", deferrable=False)
    assert result == sensor.execute(task.context)
    assert result["state"] == "ready"
    assert task.xcoms["conversation_id"] == only(manual_box)


@WORKER_AND_TRIGGERER
@pytest.mark.parametrize("has_store", [True, False], ids=["state store", "no state store"])
@pytest.mark.parametrize(
    ("on_missing", "error"), [("fail", AirflowFailException), ("skip", AirflowSkipException), ("succeed", None)]
)
@pytest.mark.usefixtures("connect")
def test_results_that_never_come_end_it_as_asked_and_for_good(
    on_missing: Any, error: Any, has_store: bool, deferrable: bool, box: TavusBox, task_instance_type: Any
) -> None:
    # In real time: a grace period counts by the machine's clock.
    box.account.on_create = lambda body: Script.nobody_joined(seconds=0.05)
    task = task_instance_type() if has_store else task_instance_type(store=None)
    at_once = {"participant_absent_timeout": 0}
    operator = create(deferrable=deferrable, on_missing=on_missing, cancellation="end", properties=at_once)

    if error is None:
        result = task.run(operator)
    else:
        with pytest.raises(error, match="nobody joined"):
            task.run(operator)
        result = task.xcoms["return_value"]

    assert result["reason"] == "nobody_joined"
    assert box.count("end") == 0, "it is over"
    task.clear()
    box.account.on_create = lambda body: Script.finished(seconds=0.05, transcript_delay=0.0)
    assert task.run(create(deferrable=deferrable))["conversation_id"] != result["conversation_id"]


@WORKER_AND_TRIGGERER
@pytest.mark.parametrize(("cancellation", "ends"), [("leave", 0), ("end", 1), ("end_if_nobody_joined", 0)])
def test_a_time_out_does_to_the_call_what_is_asked_for(
    cancellation: Any, ends: int, deferrable: bool, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    task = new_task(now=time.time)

    with pytest.raises(AirflowSensorTimeout, match=r"Timed out after 0\.1 s"):
        task.run(create(timeout=0.1, deferrable=deferrable, cancellation=cancellation))

    assert manual_box.count("end") == ends
    assert is_over(manual_box) == bool(ends)


@pytest.mark.parametrize(("cancellation", "ends"), [("leave", 0), ("end", 1)])
def test_an_execution_timeout_does_to_the_call_what_is_asked_for(
    cancellation: Any, ends: int, manual_box: TavusBox, new_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manual_box.account.on_create = lambda body: Script.active()

    def time_out(*args: Any) -> None:
        raise AirflowTaskTimeout("The task has run for too long.")

    monkeypatch.setattr(CreateConversationOperator, "_look", time_out)
    with pytest.raises(AirflowTaskTimeout):
        new_task().run(create(deferrable=False, cancellation=cancellation))

    assert manual_box.count("end") == ends


def test_a_failure_that_is_retried_leaves_the_call_to_the_retry(
    manual_box: TavusBox, new_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = new_task()

    def fail(**_: Any) -> None:
        raise ConnectionError("Airflow's API server is away.")

    with monkeypatch.context() as away:
        away.setattr(task, "xcom_push", fail)
        with pytest.raises(ConnectionError):
            task.run(create(deferrable=False, cancellation="end"))
    result = task.run(create(deferrable=False, cancellation="end"))

    assert result["conversation_id"] == only(manual_box)
    assert manual_box.count("end") == 0


def test_a_failure_that_is_not_retried_any_more_does_what_is_asked_for(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    task = new_task(retries=1)

    for ends in (0, 1):
        task.begin_try()
        operator = create(deferrable=True, cancellation="end")
        with pytest.raises(TaskDeferred) as deferral:
            operator.execute(task.context)
        # A triggerer that has no such connection, unlike the worker.
        event = {"status": "error", "message": "The connection cannot be read.", "transient": True}
        with pytest.raises(TavusError, match="cannot be read"):
            operator.resume_execution(deferral.value.method_name, {"event": event}, task.context)
        assert manual_box.count("end") == ends


def test_after_a_time_out_a_cleared_task_goes_on_with_the_same_call(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: Script.finished(seconds=3000)
    task = new_task(now=time.time)
    with pytest.raises(AirflowSensorTimeout):
        task.run(create(timeout=0.1, deferrable=False))
    task.clear()

    assert task.run(create(deferrable=False))["conversation_id"] == only(manual_box)


@WORKER_AND_TRIGGERER
def test_an_error_that_waiting_cannot_cure_does_what_is_asked_for(
    deferrable: bool,
    manual_box: TavusBox,
    new_task: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    manual_box.trouble(route="get", status=403, after=1)
    manual_box.trouble(route="list", status=403, after=1)
    manual_box.trouble(route="end", status=503)

    with pytest.raises(AirflowFailException, match="403"):
        new_task().run(create(deferrable=deferrable, cancellation="end"))

    assert manual_box.count("end") == 1, "tried, and not over the error that came first"
    assert "could not be ended and may go on" in caplog.text + capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "age", "ends"),
    [
        (Script(replica_joined=None, participant_joined=None), 0, 1),
        (Script(replica_joined=None, participant_joined=None), 61, 0),
        (Script(replica_joined=0.0), 0, 0),
        (Script(replica_joined=None).but(events="null"), 0, 0),
        (Script(replica_joined=None).but(events="missing"), 0, 0),
        (Script(replica_joined=None).but(minimal=True), 0, 0),
    ],
    ids=["nothing happened", "too old for that", "the AI is there", "null", "missing", "no times"],
)
def test_only_if_it_is_certain_that_nobody_joined_the_call_is_ended(
    script: Script, age: float, ends: int, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: script
    manual_box._pace = None
    operator = create(wait_for_completion=False, cancellation="end_if_nobody_joined")
    new_task().run(operator)
    operator.wait_for_completion = True
    if age:
        conversation = manual_box.conversation(only(manual_box))
        manual_box.remove(conversation.conversation_id)
        manual_box.add(script, conversation_id=conversation.conversation_id, created_at=time.time() - age)

    operator.on_kill()

    assert manual_box.count("end") == ends


@pytest.mark.parametrize(("cancellation", "ends"), [("leave", 0), ("end", 1)])
def test_a_worker_that_is_told_to_stop_does_what_is_asked_for_once(
    cancellation: Any, ends: int, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    manual_box._pace = None
    operator = create(deferrable=False, cancellation=cancellation, timeout=1.0)
    task = new_task(now=time.time)

    def tell_to_stop() -> None:
        while manual_box.count("get") < 2:
            time.sleep(0.01)
        operator.on_kill()
        operator.on_kill()

    messenger = threading.Thread(target=tell_to_stop, daemon=True)
    messenger.start()
    with suppress(AirflowSensorTimeout, AirflowFailException):
        task.run(operator)
    messenger.join()

    assert manual_box.count("end") == ends
    assert is_over(manual_box) == bool(ends)


def test_a_task_that_does_not_wait_has_nothing_to_cancel(manual_box: TavusBox, new_task: Callable[..., Any]) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    operator = create(wait_for_completion=False, cancellation="end")
    new_task().run(operator)
    operator.on_kill()
    assert manual_box.count("end") == 0


class Task:
    dag_id, task_id, run_id, map_index = "a_dag", "create", "run", 3


@pytest.mark.parametrize(
    ("state", "cancellation", "ends"),
    [
        ("failed", "end", 1),
        ("success", "end", 1),
        ("failed", "leave", 0),
        ("failed", "end_if_nobody_joined", 0),
        # Handed to another triggerer, or cleared: the task goes on.
        ("deferred", "end", 0),
        ("scheduled", "end", 0),
        (None, "end", 0),
    ],
)
def test_a_trigger_that_is_told_to_stop_looks_first_whether_the_task_is_over(
    state: str | None, cancellation: Any, ends: int, manual_box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = manual_box.add(Script.active(replica_joined=0.0))
    monkeypatch.setattr(CreatedConversationTrigger, "_state_of_the_task", lambda self: state)
    trigger = CreatedConversationTrigger(
        cancellation=cancellation,
        conversation_ids=[conversation_id],
        wait_for=[],
        grace_period=0,
        poll_interval=1,
        deadline=time.time() + 60,
    )

    asyncio.run(trigger.on_kill())

    assert manual_box.count("end") == ends


def test_a_trigger_that_cannot_learn_the_state_leaves_the_call_alone(manual_box: TavusBox) -> None:
    trigger = CreatedConversationTrigger(
        cancellation="end",
        conversation_ids=[manual_box.add(Script.active())],
        wait_for=[],
        grace_period=0,
        poll_interval=1,
        deadline=time.time() + 60,
    )
    asyncio.run(trigger.on_kill())
    assert manual_box.count() == 0


def test_what_is_stored_of_a_trigger_is_enough_to_make_it_again(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    task = new_task()
    task.begin_try()
    with pytest.raises(TaskDeferred) as deferral:
        create(deferrable=True, cancellation="end").execute(task.context)

    class_path, arguments = deferral.value.trigger.serialize()
    assert class_path.endswith("created_conversation.CreatedConversationTrigger")
    assert CreatedConversationTrigger(**arguments).serialize() == (class_path, arguments)
    assert arguments["cancellation"] == "end"
    assert "tavus.daily.co" not in str(arguments)


def test_a_wait_that_no_triggerer_ended_in_time_looks_one_last_time(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    task = new_task()
    task.begin_try()
    operator = create(deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(task.context)
    manual_box.advance(1000)

    fresh = create(deferrable=True)
    result = fresh.resume_execution("__fail__", {"error": "Trigger timeout"}, task.context)
    assert result["state"] == "ready"


def test_a_trigger_that_broke_in_the_last_try_does_what_is_asked_for(
    manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.on_create = lambda body: Script.active()
    task = new_task(retries=1)

    for ends in (0, 1):
        task.begin_try()
        with pytest.raises(TaskDeferred):
            create(deferrable=True, cancellation="end").execute(task.context)
        with pytest.raises(AirflowException, match="Trigger failure"):
            create(deferrable=True, cancellation="end").resume_execution(
                "__fail__", {"error": "Trigger failure", "traceback": ["Traceback"]}, task.context
            )
        assert manual_box.count("end") == ends


@pytest.mark.parametrize("concurrency_limit", [0, None], ids=["before the conversation", "after it"])
def test_as_long_as_any_duration_may_be_can_be_waited_in_the_triggerer(
    concurrency_limit: int | None, manual_box: TavusBox, new_task: Callable[..., Any]
) -> None:
    manual_box.account.concurrency_limit = concurrency_limit
    task = new_task()
    task.begin_try()
    durations = ("timeout", "concurrency_timeout", "grace_period", "poke_interval", "max_wait")
    with pytest.raises(TaskDeferred) as deferral:
        create(deferrable=True, exponential_backoff=True, **dict.fromkeys(durations, LONGEST)).execute(task.context)
    assert deferral.value.timeout
    assert deferral.value.timeout >= LONGEST
