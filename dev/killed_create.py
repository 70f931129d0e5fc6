"""
A process that carries on a task that creates a conversation, and kills itself at its n-th point.

Points are before and after each request, each pause, each write to the task state store and each XCom, and before each
step of the event loop: so wherever a coroutine awaits something that is not there yet.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_tavus.api.async_client import AsyncTavusClient
from airflow_provider_tavus.api.client import TavusClient
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMPORTED_ONCE = [
    f"airflow_provider_tavus.{module}"
    for module in (
        "api.async_client",
        "api.client",
        "conversations.plain",
        "operators.create_conversation",
        "triggers.created_conversation",
        "triggers.polls",
    )
]
"""By the server that the processes are forked from."""


class Fate:
    """Kills this process at its n-th point; None spares it."""

    def __init__(self, point: int | None) -> None:
        self.point = point
        self.passed = 0

    def strike(self) -> None:
        self.passed += 1
        if self.passed == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*args: Any, **kwargs: Any) -> Any:
            self.strike()
            return work(*args, **kwargs)

        return struck

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*args: Any, **kwargs: Any) -> Any:
            self.strike()
            result = work(*args, **kwargs)
            self.strike()
            return result

        return struck

    def around_await(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def struck(*args: Any, **kwargs: Any) -> Any:
            self.strike()
            result = await work(*args, **kwargs)
            self.strike()
            return result

        return struck


@dataclass
class Kept:
    """What outlives a process: Airflow's database, as a file."""

    file: Path
    content: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return json.loads(self.file.read_text())[name]

    def write(self, **changes: Any) -> None:
        before = json.loads(self.file.read_text()) if self.file.exists() else {}
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(json.dumps(before | changes))
        unfinished.replace(self.file)


class Store:
    """The task state store in that file."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def get(self, key: str) -> Any:
        return self.kept["store"].get(key)

    def set(self, key: str, value: Any) -> None:
        self.kept.write(store=self.kept["store"] | {key: value})


class BoxTime:
    """The time in a box of another process; sleeping moves it."""

    def __init__(self, base_url: str) -> None:
        self.url = f"{base_url}/_box"

    def time(self) -> float:
        with urllib.request.urlopen(self.url) as answer:
            return float(json.load(answer)["now"])

    def sleep(self, seconds: float) -> None:
        body = json.dumps({"advance": seconds}).encode()
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/clock", body, {"Content-Type": "application/json"})
        ).close()


class TaskInstance:
    """What the operator sees of its task instance."""

    dag_id, task_id, map_index, max_tries = "a_dag", "create", -1, 9

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.run_id = kept["run_id"]
        self.try_number = kept["try_number"]
        self.start_date = datetime.fromtimestamp(kept["started"], UTC)

    def xcom_push(self, key: str, value: Any) -> None:
        self.kept.write(xcoms=self.kept["xcoms"] | {key: value})

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.kept["xcoms"].get(key)


@dataclass
class Process:
    """
    One process after another carries the task on, until one comes to the end.

    :param arguments: of the operator.
    :param has_store: whether this Airflow has a task state store.
    """

    kept: Kept
    clock: BoxTime
    arguments: dict[str, Any]
    has_store: bool

    def run(self, point: int | None) -> bool:
        """Carry the task on in a process that dies at ``point``; say whether it came to the end."""
        if self.kept["phase"] != "triggerer":
            self.kept.write(
                phase="worker", try_number=self.kept["try_number"] + 1, started=self.clock.time(), xcoms={}, event=None
            )
        # Forked from a server of its own: this process has threads, and a fork of it could find their locks taken.
        processes = get_context("forkserver")
        processes.set_forkserver_preload(IMPORTED_ONCE)
        child = processes.Process(target=self.be_the_process, args=(point, dict(os.environ)))
        child.start()
        child.join(60)
        if child.exitcode is None:
            child.kill()
            raise AssertionError(f"the process that was to die at point {point} neither died nor ended")
        assert child.exitcode in {0, -signal.SIGKILL}, "the process failed by itself: see its output"
        return child.exitcode == 0

    def be_the_process(self, point: int | None, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        fate = Fate(point)
        self._let_fate_in(fate)
        self._carry_on(fate, CreateConversationOperator(task_id="create", **self.arguments))

    def _let_fate_in(self, fate: Fate) -> None:
        TavusClient._exchange = fate.around(TavusClient._exchange)  # type: ignore[method-assign]
        AsyncTavusClient._exchange = fate.around_await(AsyncTavusClient._exchange)  # type: ignore[method-assign]
        asyncio.Handle._run = fate.before(asyncio.Handle._run)  # type: ignore[method-assign]
        time.sleep = fate.around(time.sleep)
        Store.set = fate.around(Store.set)  # type: ignore[method-assign]
        TaskInstance.xcom_push = fate.around(TaskInstance.xcom_push)  # type: ignore[method-assign]
        self.clock.sleep = fate.around(self.clock.sleep)  # type: ignore[method-assign]
        CreateConversationOperator._clock = self.clock

    def _carry_on(self, fate: Fate, operator: CreateConversationOperator) -> None:
        while True:
            try:
                if self.kept["phase"] == "triggerer":
                    event = asyncio.run(self._event())
                    fate.strike()
                    self.kept.write(phase="worker")
                    method = self.kept["method"]
                    result = operator.resume_execution(method, {"event": event}, self._context())
                else:
                    result = operator.execute(self._context())
                self.kept.write(result=result, phase="over")
                return
            except TaskDeferred as deferral:
                fate.strike()
                self.kept.write(phase="triggerer", trigger=deferral.trigger.serialize(), method=deferral.method_name)
                fate.strike()

    def _context(self) -> Any:
        return {"ti": TaskInstance(self.kept)} | ({"task_state_store": Store(self.kept)} if self.has_store else {})

    async def _event(self) -> Any:
        class_path, arguments = self.kept["trigger"]
        module, _, name = class_path.rpartition(".")
        async for event in getattr(importlib.import_module(module), name)(**arguments).run():
            return json.loads(json.dumps(event.payload))
        raise AssertionError("The trigger ended without an event.")
