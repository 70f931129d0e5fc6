"""Carries an operator out as Airflow would: tries, retries, clearing, deferral, and what is kept between them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.testing import ManualClock, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.compat.sdk import BaseOperator


class StateStore(dict[str, Any]):
    """Airflow's task state store: JSON by key, for all tries of a task instance."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


@dataclass
class TaskInstance:
    """A task instance over all its tries."""

    retries: int = 2
    dag_id: str = "a_dag"
    task_id: str = "create"
    run_id: str = "manual__1"
    map_index: int = -1
    try_number: int = 0
    max_tries: int = 0
    now: Callable[[], float] = time.time
    start_date: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    xcoms: dict[str, Any] = field(default_factory=dict)
    store: StateStore | None = field(default_factory=StateStore)

    def __post_init__(self) -> None:
        self.max_tries = self.retries

    @property
    def context(self) -> Any:
        return {"ti": self} | ({} if self.store is None else {"task_state_store": self.store})

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)

    def clear(self) -> None:
        """What clearing does to it."""
        self.max_tries = self.try_number + self.retries

    def begin_try(self) -> None:
        """What Airflow does before each try."""
        self.try_number += 1
        self.xcoms.clear()
        self.start_date = datetime.fromtimestamp(self.now(), UTC)

    def run(self, operator: BaseOperator) -> Any:
        """One try: one execution, or as many as its deferrals make."""
        self.begin_try()
        try:
            return self.plain(operator.execute(self.context))
        except TaskDeferred as deferral:
            return self.resume(operator, deferral)

    def resume(self, operator: BaseOperator, deferral: TaskDeferred) -> Any:
        while True:
            event = asyncio.run(first_event(deferral.trigger))
            try:
                return self.plain(operator.resume_execution(deferral.method_name, {"event": event}, self.context))
            except TaskDeferred as another:
                deferral = another

    @staticmethod
    def plain(result: Any) -> Any:
        assert json.loads(json.dumps(result)) == result
        return result


class BoxTime:
    """The clock of the operator: the box's own, which sleeping moves."""

    def __init__(self, box: TavusBox) -> None:
        self.box = box
        self.slept: list[float] = []

    def time(self) -> float:
        return self.box.clock.now()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.box.advance(seconds)


async def first_event(trigger: Any) -> Any:
    """Run a trigger as a triggerer does: rebuilt from what the database keeps of it."""
    class_path, arguments = trigger.serialize()
    module, _, name = class_path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
    async for event in rebuilt.run():
        return json.loads(json.dumps(event.payload))
    raise AssertionError("The trigger ended without an event.")


@pytest.fixture
def manual_box(monkeypatch: pytest.MonkeyPatch) -> Iterator[TavusBox]:
    """A box whose clock the operator moves by sleeping, and the connection to it."""
    with TavusBox.in_thread(api_key="canary-key-4f1d9c", clock=ManualClock()) as box:
        connection = {
            "conn_type": "tavus",
            "host": box.base_url,
            "password": box.api_key,
            "extra": {"read_timeout": 0.5, "connect_timeout": 0.5, "retries": 0},
        }
        monkeypatch.setenv("AIRFLOW_CONN_TAVUS_DEFAULT", json.dumps(connection))
        monkeypatch.setattr(CreateConversationOperator, "_clock", BoxTime(box))
        yield box


@pytest.fixture(params=["state store", "no state store"])
def new_task(request: pytest.FixtureRequest, manual_box: TavusBox) -> Callable[..., TaskInstance]:
    """Make a task instance of an Airflow with a task state store (3.3), and of one without."""

    def make(**fields: Any) -> TaskInstance:
        store = StateStore() if request.param == "state store" else None
        return TaskInstance(**{"store": store, "now": manual_box.clock.now} | fields)

    return make


@pytest.fixture
def task_instance_type() -> type[TaskInstance]:
    return TaskInstance


@pytest.fixture
def box_time_type() -> type[BoxTime]:
    return BoxTime
