"""What is particular to one mode or one argument; what all modes share is in the parity table."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.triggers.base import BaseTrigger

from airflow_provider_tavus.sensors.conversation import ConversationSensor
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("connect")

STARTS_FROM_TRIGGER = pytest.mark.skipif(
    not hasattr(BaseTrigger, "render_template_fields"), reason="this Airflow starts no task in the triggerer"
)


class TaskInstance:
    dag_id, task_id, run_id, map_index, try_number = "a_dag", "wait", "manual__1", -1, 1

    def __init__(self, *, started: float | None = None, max_tries: int = 0) -> None:
        self.start_date = datetime.fromtimestamp(started or time.time(), UTC)
        self.max_tries = max_tries
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


class StateStore(dict[str, Any]):
    """What Airflow 3.3 and later keep of a task over its retries."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def sensor(**arguments: Any) -> ConversationSensor:
    asked: dict[str, Any] = {"conversation_id": "c1", "poke_interval": 0.1}
    return ConversationSensor(task_id="wait", **asked | arguments)


def context(**also: Any) -> Any:
    return {"ti": TaskInstance()} | also


def deferral(**arguments: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True, **arguments).execute(context())
    return deferred.value


@pytest.fixture(autouse=True)
def active(box: TavusBox) -> None:
    box.add(Script.active(), conversation_id="c1")


def finish(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)


def test_what_is_there_at_the_first_look_is_not_deferred(box: TavusBox) -> None:
    finish(box)

    assert sensor(deferrable=True).execute(context())["state"] == "ready"
    assert box.count() == 1


def test_a_call_that_was_just_seen_going_on_has_its_grace_though_its_end_is_not_told(box: TavusBox) -> None:
    hours_ago = "2020-01-01T00:00:00Z"
    joined = {"event_type": "system.replica_joined", "timestamp": hours_ago}
    call: dict[str, Any] = {"conversation_id": "c1", "status": "active", "updated_at": hours_ago, "events": [joined]}
    box.put_raw("c1", call)
    transcript = {"event_type": "application.transcription_ready"}

    def end_after_a_look() -> None:
        while not box.count("get"):
            time.sleep(0.02)
        box.put_raw("c1", call | {"status": "ended"})
        time.sleep(0.5)
        box.put_raw("c1", call | {"status": "ended", "events": [joined, transcript]})

    threading.Thread(target=end_after_a_look, daemon=True).start()

    assert sensor(deferrable=False, grace_period=10, timeout=20).execute(context())["state"] == "ready"


def test_an_outage_does_not_make_the_last_look_of_a_list_as_long_as_the_list_is(
    box: TavusBox, connect: Callable[..., str]
) -> None:
    connect(extra={"read_timeout": 0.3})
    box.trouble("hang", route="get")
    waiting = sensor(conversation_id=[f"c{number}" for number in range(20)], timeout=0.1, deferrable=False)

    with pytest.raises(AirflowSensorTimeout, match="And 15 more"):
        waiting.execute(context())
    assert box.count("get") == 1


def test_a_time_out_is_told_in_seconds_however_many_they_are() -> None:
    started = time.time() - 2_000_000

    with pytest.raises(AirflowSensorTimeout, match="Timed out after 1209600 s"):
        sensor(timeout=timedelta(days=14), deferrable=False).execute(context(ti=TaskInstance(started=started)))


def test_a_deferral_hands_on_ids_and_numbers_alone(box: TavusBox) -> None:
    _, arguments = deferral(timeout=60, exponential_backoff=True, max_wait=timedelta(seconds=30)).trigger.serialize()

    assert arguments["conversation_ids"] == ["c1"]
    assert arguments["max_wait"] == 30
    assert arguments["exponential_backoff"] is True
    assert box.api_key not in str(arguments)


def test_a_deferral_is_bounded_even_if_no_triggerer_runs() -> None:
    assert timedelta(seconds=60) < (deferral(timeout=60).timeout or timedelta()) < timedelta(seconds=180)


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="Airflow 3 tells a task instance when it was first rescheduled")
def test_on_airflow_2_the_time_out_counts_from_the_start_before_the_first_reschedule(
    box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def first_start_in_the_database(**task_instance: Any) -> datetime:
        asked.update(task_instance)
        return datetime.now(UTC) - timedelta(seconds=61)

    monkeypatch.setattr("airflow.sensors.base._orig_start_date", first_start_in_the_database)
    box.add(Script.active(), conversation_id="c1")
    waiting = sensor(timeout=60, mode="reschedule", deferrable=False)

    with pytest.raises(AirflowSensorTimeout):
        waiting.execute(context(task=waiting))
    assert asked == {"dag_id": "a_dag", "task_id": "wait", "run_id": "manual__1", "map_index": -1, "try_number": 1}


def test_the_deadline_of_a_deferral_counts_from_the_first_start() -> None:
    started = time.time() - 30
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True, timeout=60).execute({"ti": TaskInstance(started=started)})  # type: ignore[typeddict-item]

    assert deferred.value.trigger.deadline == pytest.approx(started + 60, abs=0.001)


def test_a_retry_goes_on_with_the_time_that_the_first_try_left() -> None:
    store = StateStore()
    first_start = time.time() - 50
    waiting = sensor(deferrable=True, timeout=60)
    with pytest.raises(TaskDeferred):
        waiting.execute(context(ti=TaskInstance(started=first_start), task_state_store=store))

    with pytest.raises(TaskDeferred) as retried:
        waiting.execute(context(task_state_store=store))
    assert retried.value.trigger.deadline == pytest.approx(first_start + 60, abs=0.001)


def test_a_task_that_was_cleared_waits_anew() -> None:
    store = StateStore()
    waiting = sensor(deferrable=True, timeout=60)
    long_ago = TaskInstance(started=time.time() - 3600, max_tries=0)
    with pytest.raises(AirflowSensorTimeout):
        waiting.execute(context(ti=long_ago, task_state_store=store))

    with pytest.raises(TaskDeferred):
        waiting.execute(context(ti=TaskInstance(max_tries=1), task_state_store=store))


def test_execution_timeout_bounds_a_deferral_which_airflow_does_not() -> None:
    deferred = deferral(timeout=3600, execution_timeout=timedelta(seconds=30))

    assert deferred.trigger.deadline < time.time() + 31
    waiting = sensor(deferrable=True, timeout=3600, execution_timeout=timedelta(seconds=30), soft_fail=True)
    event = {"status": "timeout", "conversations": [verdict("waiting")]}
    with pytest.raises(AirflowTaskTimeout, match=r"Timed out after the execution_timeout of 0:00:30"):
        waiting.execute_complete(context(), event)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    "where", [{"mode": "poke", "deferrable": False}, {"deferrable": True}], ids=["poke", "deferred"]
)
def test_a_retry_that_begins_when_the_time_is_up_ends_by_the_timeout_and_not_by_the_shorter_execution_timeout(
    where: dict[str, Any], soft_fail: bool
) -> None:
    began = TaskInstance(started=time.time() - 60)
    store = StateStore()
    waiting = sensor(timeout=60, execution_timeout=timedelta(seconds=30), soft_fail=soft_fail, **where)

    for ti in (began, TaskInstance()):
        with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout, match="Timed out after 60 s"):
            waiting.execute(context(ti=ti, task_state_store=store))


def test_a_deferred_retry_that_uses_up_what_the_first_try_left_ends_by_the_timeout() -> None:
    store = StateStore()
    waiting = sensor(deferrable=True, timeout=60, execution_timeout=timedelta(seconds=30))
    with pytest.raises(TaskDeferred):
        waiting.execute(context(ti=TaskInstance(started=time.time() - 40), task_state_store=store))
    waiting.timeout = 40

    with pytest.raises(AirflowSensorTimeout):
        waiting.execute_complete(
            context(task_state_store=store), {"status": "timeout", "conversations": [verdict("waiting")]}
        )


@STARTS_FROM_TRIGGER
def test_each_try_that_began_in_the_triggerer_ends_by_an_execution_timeout_of_its_own() -> None:
    waiting = sensor(deferrable=True, start_from_trigger=True, timeout=60, execution_timeout=timedelta(seconds=30))
    store = StateStore()
    for started in (time.time() - 300, time.time()):
        with pytest.raises(AirflowTaskTimeout):
            waiting.execute_complete(
                context(ti=TaskInstance(started=started), task_state_store=store),
                {"status": "timeout", "conversations": [verdict("waiting")]},
            )


def verdict(state: str) -> dict[str, Any]:
    return {
        "conversation_id": "c1",
        "state": state,
        "status": "active",
        "missing": ["application.transcription_ready"],
        "reason": None,
        "shutdown_reason": None,
        "ended_at": None,
        "ready_at": None,
    }


# The names that Airflow 2.11 and 3 give to a deferral that the scheduler ended.
@pytest.mark.parametrize("error", ["Trigger/execution timeout", "Trigger timeout"])
class TestADeferralThatNoTriggererEnded:
    def resume(self, error: str, **arguments: Any) -> Any:
        return sensor(deferrable=True, timeout=60, **arguments).resume_execution(
            "__fail__", {"error": error}, context()
        )

    def test_is_looked_at_one_last_time(self, error: str, box: TavusBox) -> None:
        finish(box)
        assert self.resume(error)["state"] == "ready"

    def test_is_a_time_out(self, error: str) -> None:
        with pytest.raises(AirflowSensorTimeout, match=r"Timed out after 60 s\. Conversation c1 is active"):
            self.resume(error)

    def test_is_skipped_if_asked_for(self, error: str) -> None:
        for asked in ("soft_fail", "never_fail"):
            with pytest.raises(AirflowSkipException):
                self.resume(error, **{asked: True})


def test_a_trigger_that_broke_fails_the_task_and_only_never_fail_skips_it() -> None:
    broken = {"error": "Trigger failure", "traceback": ["ModuleNotFoundError"]}
    for arguments in ({}, {"soft_fail": True}):
        with pytest.raises(Exception, match="Trigger failure") as failure:
            sensor(deferrable=True, **arguments).resume_execution("__fail__", broken, context())
        assert not isinstance(failure.value, AirflowSkipException)
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, never_fail=True).resume_execution("__fail__", broken, context())


@pytest.mark.parametrize("event", [None, {}, {"status": "success"}, "done", []], ids=repr)
def test_an_event_that_is_not_understood_is_no_success(event: Any) -> None:
    with pytest.raises(AirflowFailException, match="does not know"):
        sensor(deferrable=True).execute_complete(context(), event)


@pytest.mark.parametrize(
    "conversation_id", ["", "None", "['c1', 'c2']", "a b", None, 7, ["c1", None], ["c1", ""]], ids=repr
)
def test_what_is_no_id_is_refused_before_anything_is_sent(conversation_id: Any, box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match="conversation_id"):
        sensor(conversation_id=conversation_id).execute(context())
    assert box.count() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"on_missing": "ignore"}, "on_missing must be 'fail', 'skip' or 'succeed'"),
        ({"grace_period": -1}, "grace_period must be 0 seconds or more"),
        ({"grace_period": timedelta(seconds=-1)}, "grace_period must be 0 seconds or more"),
        ({"poke_interval": 0}, "poke_interval must be above 0"),
        ({"timeout": float("inf")}, "timeout must be ten years or less"),
        (
            {"timeout": timedelta.max, "deferrable": True, "start_from_trigger": True},
            "timeout must be ten years or less",
        ),
        ({"poke_interval": float("inf")}, "poke_interval must be ten years or less"),
        ({"max_wait": timedelta.max}, "max_wait must be ten years or less"),
        ({"soft_fail": True, "never_fail": True}, "mutually exclusive"),
    ],
    ids=str,
)
def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sensor(**arguments)


def test_a_start_in_the_triggerer_without_deferral_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="needs deferrable=True"):
        ConversationSensor(task_id="wait", conversation_id="c1", deferrable=False, start_from_trigger=True)


@STARTS_FROM_TRIGGER
def test_a_start_in_the_triggerer_hands_on_the_sensors_own_arguments() -> None:
    sensor = ConversationSensor(
        task_id="wait",
        conversation_id="{{ params.one }}",
        tavus_conn_id="{{ params.connection }}",
        timeout=100,
        poke_interval=7,
        execution_timeout=timedelta(seconds=50),
        deferrable=True,
        start_from_trigger=True,
    )

    assert sensor.start_from_trigger
    asked = sensor.start_trigger_args
    assert asked is not None
    assert asked.timeout == timedelta(seconds=50)
    assert asked.trigger_kwargs == {
        "conversation_id": "{{ params.one }}",
        "wait_for": ["application.transcription_ready"],
        "grace_period": 600.0,
        "poll_interval": 7.0,
        "wait_at_most": 50.0,
        "deferred_at_most": 50.0,
        "tavus_conn_id": "{{ params.connection }}",
        "exponential_backoff": False,
        "max_wait": None,
    }
    # Another sensor's arguments, and those of a mapped one, are not to be found in the class.
    assert ConversationSensor.start_trigger_args is None
    assert not ConversationSensor(task_id="other", conversation_id="c1", deferrable=True).start_from_trigger


@pytest.mark.parametrize("wait_for", ["transcription_ready", "['application.transcription_ready']", [None]], ids=repr)
def test_what_is_no_event_type_is_refused_before_anything_is_sent(wait_for: Any, box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match="no event type"):
        sensor(wait_for=wait_for).execute(context())
    assert box.count() == 0


def test_a_retry_has_an_execution_timeout_of_its_own() -> None:
    store = StateStore()
    waiting = sensor(deferrable=True, timeout=3600, execution_timeout=timedelta(seconds=30))
    for started in (time.time() - 300, time.time()):
        with pytest.raises(TaskDeferred) as deferred:
            waiting.execute(context(ti=TaskInstance(started=started), task_state_store=store))
        assert deferred.value.trigger.deadline == pytest.approx(time.time() + 30, abs=5)


def test_a_rotated_key_is_read_again_before_the_wait_fails(box: TavusBox, connect: Callable[..., str]) -> None:
    box.add(Script.finished(seconds=0.5, transcript_delay=0.0), conversation_id="c1")

    def rotate() -> None:
        box.api_key = "rotated-key"
        connect(password="rotated-key")

    rotation = threading.Timer(0.25, rotate)
    rotation.start()

    assert sensor(timeout=10).execute(context())["state"] == "ready"
    assert box.count(status=401) == 1
    rotation.join()


def test_an_empty_list_is_a_wait_that_is_over() -> None:
    assert sensor(conversation_id=[]).execute(context()) == []


def test_an_id_that_is_named_twice_is_waited_for_once(box: TavusBox) -> None:
    finish(box)

    assert len(sensor(conversation_id=["c1", "c1"]).execute(context())) == 1
    assert box.count() == 1


def test_results_that_never_come_leave_their_reason_in_the_xcom(box: TavusBox) -> None:
    box.add(Script.test_mode(), conversation_id="c1", created_at=time.time() - 3600)
    ti = TaskInstance()
    with pytest.raises(AirflowFailException):
        sensor().execute(context(ti=ti))
    assert ti.xcoms["return_value"]["reason"] == "test_mode"

    ti = TaskInstance()
    with pytest.raises(AirflowFailException):
        sensor(do_xcom_push=False).execute(context(ti=ti))
    assert "return_value" not in ti.xcoms


def test_the_message_about_many_conversations_stays_short(box: TavusBox) -> None:
    ids = [box.add(Script.test_mode(), created_at=time.time() - 3600) for _ in range(30)]

    with pytest.raises(AirflowFailException, match="And 25 more") as failure:
        sensor(conversation_id=ids).execute(context())
    assert len(str(failure.value)) < 1000


def test_a_poke_looks_once(box: TavusBox) -> None:
    assert not sensor().poke(context())
    finish(box)
    done = sensor().poke(context())
    assert done
    assert (done.xcom_value or {})["state"] == "ready"


def test_ids_events_and_connections_are_templated() -> None:
    assert set(ConversationSensor.template_fields) == {"conversation_id", "wait_for", "tavus_conn_id"}
