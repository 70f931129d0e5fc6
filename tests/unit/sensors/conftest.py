"""Carry a sensor out as Airflow would, in each of its modes, and tell how it ended."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_tavus.sensors.conversation import ConversationSensor

if TYPE_CHECKING:
    from collections.abc import Callable

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {"deferrable": True},
    "from trigger": {"deferrable": True, "start_from_trigger": True},
}


@dataclass
class TaskInstance:
    """What a sensor sees of its task instance, over all the executions of one try."""

    start_date: datetime
    max_tries: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)
    first_reschedule: datetime | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule


@dataclass(frozen=True)
class End:
    """How a sensor ended; two modes agree if their ends are equal."""

    result: Any = None
    error: str | None = None
    message: str = ""
    xcom: Any = None
    executions: int = field(default=1, compare=False)


@pytest.fixture
def carry_out(connect: Callable[..., str]) -> Callable[..., End]:
    def carry_out(mode: str, **arguments: Any) -> End:
        sensor = ConversationSensor(task_id="wait", **(MODES[mode] | arguments))
        ti = TaskInstance(start_date=datetime.now(UTC))
        executions = Executions(sensor, ti)
        try:
            result = json.loads(json.dumps(executions.run()))
        except Exception as error:
            return End(
                error=type(error).__name__,
                message=str(error),
                xcom=ti.xcoms.get("return_value"),
                executions=executions.count,
            )
        return End(result=result, executions=executions.count)

    return carry_out


@dataclass
class Executions:
    """The executions of one try of a sensor: one in a worker, many after rescheduling, two around a deferral."""

    sensor: ConversationSensor
    ti: TaskInstance
    count: int = 0

    def run(self) -> Any:
        if self.sensor.start_from_trigger:
            return self.start_in_the_triggerer()
        while True:
            self.count += 1
            try:
                return self.sensor.execute(self.context)
            except AirflowRescheduleException as reschedule:
                self.ti.first_reschedule = self.ti.first_reschedule or self.ti.start_date
                time.sleep(max(0.0, reschedule.reschedule_date.timestamp() - time.time()))
                self.ti.start_date = datetime.now(UTC)
            except TaskDeferred as deferral:
                return self.resume(rebuilt(*deferral.trigger.serialize()), deferral.method_name)

    def start_in_the_triggerer(self) -> Any:
        asked = self.sensor.start_trigger_args
        assert asked
        assert asked.trigger_kwargs
        assert asked.timeout
        trigger = rebuilt(asked.trigger_cls, asked.trigger_kwargs)
        trigger.timeout_after = self.ti.start_date + asked.timeout
        return self.resume(trigger, asked.next_method)

    def resume(self, trigger: Any, method_name: str) -> Any:
        event = asyncio.run(first_event(trigger))
        self.count += 1
        return self.sensor.resume_execution(method_name, {"event": event}, self.context)

    @property
    def context(self) -> Any:
        return {"ti": self.ti}


def rebuilt(class_path: str, arguments: dict[str, Any]) -> Any:
    """Make a trigger as a triggerer does: from what the database keeps of it."""
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))


async def first_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return json.loads(json.dumps(event.payload))
    raise AssertionError("The trigger ended without an event.")
