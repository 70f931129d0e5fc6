"""The wait that starts in the triggerer: what is peculiar to it; that it ends as others do is in the parity tests."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.triggers.base import BaseTrigger
from jinja2.exceptions import SecurityError

from airflow_provider_tavus.sensors.conversation import ConversationSensor
from airflow_provider_tavus.testing import Script
from airflow_provider_tavus.triggers.conversation_sensor import ConversationSensorTrigger

if TYPE_CHECKING:
    from airflow_provider_tavus.testing import TavusBox

pytestmark = pytest.mark.usefixtures("connect")

STARTS_FROM_TRIGGER = pytest.mark.skipif(
    not hasattr(BaseTrigger, "render_template_fields"), reason="this Airflow starts no task in the triggerer"
)


def trigger(**changes: Any) -> ConversationSensorTrigger:
    arguments: dict[str, Any] = {
        "conversation_id": "c1",
        "wait_for": ["application.transcription_ready"],
        "grace_period": 600.0,
        "poll_interval": 0.1,
        "wait_at_most": 10.0,
        "deferred_at_most": 70.1,
    }
    return ConversationSensorTrigger(**arguments | changes)


async def event_of(trigger: ConversationSensorTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("The trigger ended without an event.")


def test_its_arguments_are_plain_json_and_make_the_same_trigger() -> None:
    original = trigger(exponential_backoff=True, max_wait=60.0, tavus_conn_id="tavus_other")

    class_path, arguments = original.serialize()
    module, _, name = class_path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert rebuilt.serialize() == original.serialize()


async def test_its_time_counts_from_the_start_of_the_task_and_not_of_the_triggerer(box: TavusBox) -> None:
    box.add(Script.active(), conversation_id="c1")
    moved = trigger(wait_at_most=3600.0, deferred_at_most=3660.0)
    # The task began an hour ago, in a triggerer that is no more.
    moved.timeout_after = datetime.fromtimestamp(time.time() + 60, UTC)

    assert (await event_of(moved))["status"] == "timeout"
    assert box.count("get") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"conversation_id": "None"}, "the XCom or variable that its template reads is not there"),
        ({"conversation_id": "['c1', 'c2']"}, "a list that a template rendered as text"),
        ({"wait_for": "transcription_ready"}, "is no event type"),
    ],
)
async def test_what_a_template_rendered_is_checked_before_anything_is_sent(
    arguments: dict[str, Any], says: str, box: TavusBox
) -> None:
    event = await event_of(trigger(**arguments))

    assert event["status"] == "error"
    assert says in event["message"]
    assert box.count() == 0


def as_the_triggerer_fills_it_in(
    sensor_arguments: dict[str, Any], params: dict[str, Any], **dag_arguments: Any
) -> ConversationSensorTrigger:
    """Hand the trigger of a sensor what Airflow's triggerer hands it: the DAG as it comes from the database."""
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("d", schedule=None, params=params, **dag_arguments) as dag:
        sensor = ConversationSensor(task_id="wait", deferrable=True, start_from_trigger=True, **sensor_arguments)
    assert sensor.start_trigger_args
    task = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).get_task("wait")
    filled_in = ConversationSensorTrigger(**sensor.start_trigger_args.trigger_kwargs or {})
    filled_in.task_instance = SimpleNamespace(task=task, task_id="wait")  # type: ignore[assignment]
    filled_in.render_template_fields({"params": params, "dag": task.dag})  # type: ignore[typeddict-item]
    return filled_in


@STARTS_FROM_TRIGGER
async def test_a_template_of_a_native_dag_renders_a_list_as_in_a_worker(box: TavusBox) -> None:
    for one in ("c1", "c2"):
        box.add(Script.finished(), conversation_id=one, created_at=time.time() - 3600)

    filled_in = as_the_triggerer_fills_it_in(
        {"conversation_id": "{{ params.ids }}", "tavus_conn_id": "{{ params.conn }}"},
        {"ids": ["c1", "c2"], "conn": "tavus_default"},
        render_template_as_native_obj=True,
    )

    assert filled_in.conversation_id == ["c1", "c2"]
    event = await event_of(filled_in)
    assert [each["state"] for each in event["conversations"]] == ["ready", "ready"]


@STARTS_FROM_TRIGGER
@pytest.mark.parametrize(
    ("of_the_dag", "of_the_task", "rendered"),
    [
        (False, {}, "['c1']"),
        (True, {}, ["c1"]),
        (True, {"render_template_as_native_obj": False}, "['c1']"),
        (False, {"render_template_as_native_obj": True}, ["c1"]),
    ],
)
def test_the_task_decides_whether_its_templates_are_native_and_else_the_dag(
    of_the_dag: bool, of_the_task: dict[str, Any], rendered: Any
) -> None:
    filled_in = as_the_triggerer_fills_it_in(
        {"conversation_id": "{{ params.ids }}"} | of_the_task,
        {"ids": ["c1"]},
        render_template_as_native_obj=of_the_dag,
    )

    assert filled_in.conversation_id == rendered


@STARTS_FROM_TRIGGER
@pytest.mark.parametrize("native", [False, True])
def test_templates_are_rendered_in_a_sandbox_though_the_dag_is_native(native: bool) -> None:
    with pytest.raises(SecurityError):
        as_the_triggerer_fills_it_in(
            {"conversation_id": "{{ params.one.__class__.__mro__ }}"},
            {"one": "c1"},
            render_template_as_native_obj=native,
        )
