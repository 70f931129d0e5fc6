"""
A process that is killed at every instruction that another process could notice, and what its retry finds.

Each try runs in a process of its own, forked from this one, and kills itself at its n-th point: before and after
each request, each await, each pause, each write to the task state store and each XCom. Then the task is carried on as
Airflow does: a dead worker is a try that failed, a dead triggerer is replaced by another one.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import time
import traceback
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_tavus.api.async_client import AsyncTavusClient
from airflow_provider_tavus.api.client import TavusClient
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.testing import ListView, Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")

MOST_POINTS = 200
for module in ("conversations.plain", "triggers.created_conversation", "triggers.shared_poll"):
    # Here, so that no process has to do it after its fork.
    importlib.import_module(f"airflow_provider_tavus.{module}")


class Fate:
    """Kills this process at its n-th point; None spares it."""

    def __init__(self, point: int | None) -> None:
        self.point = point
        self.passed = 0

    def strike(self) -> None:
        self.passed += 1
        if self.passed == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

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

    def __init__(self, box: TavusBox) -> None:
        self.url = f"{box.base_url}/_box"

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
    """One process after another carries the task on, until one comes to the end."""

    kept: Kept
    clock: BoxTime
    operator: CreateConversationOperator
    has_store: bool

    def run(self, point: int | None) -> bool:
        """Carry the task on in a process that dies at ``point``; say whether it came to the end."""
        if self.kept["phase"] != "triggerer":
            self.kept.write(
                phase="worker", try_number=self.kept["try_number"] + 1, started=self.clock.time(), xcoms={}, event=None
            )
        child = os.fork()
        if child == 0:
            self._be_the_process(Fate(point))
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return False
        assert os.WEXITSTATUS(status) == 0, "the process failed by itself: see its output"
        return True

    def _be_the_process(self, fate: Fate) -> None:
        try:
            self._let_fate_in(fate)
            self._carry_on(fate)
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            os._exit(1)

    def _let_fate_in(self, fate: Fate) -> None:
        TavusClient._exchange = fate.around(TavusClient._exchange)  # type: ignore[method-assign]
        AsyncTavusClient._exchange = fate.around_await(AsyncTavusClient._exchange)  # type: ignore[method-assign]
        asyncio.sleep = fate.around_await(asyncio.sleep)
        time.sleep = fate.around(time.sleep)
        Store.set = fate.around(Store.set)  # type: ignore[method-assign]
        TaskInstance.xcom_push = fate.around(TaskInstance.xcom_push)  # type: ignore[method-assign]
        self.clock.sleep = fate.around(self.clock.sleep)  # type: ignore[method-assign]
        CreateConversationOperator._clock = self.clock

    def _carry_on(self, fate: Fate) -> None:
        while True:
            try:
                if self.kept["phase"] == "triggerer":
                    event = asyncio.run(self._event())
                    fate.strike()
                    self.kept.write(phase="worker")
                    method = self.kept["method"]
                    result = self.operator.resume_execution(method, {"event": event}, self._context())
                else:
                    result = self.operator.execute(self._context())
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


WAIT: dict[str, Any] = {"wait_for_completion": True, "poke_interval": 0.01, "timeout": 30.0}


@pytest.mark.parametrize("has_store", [True, False], ids=["state store", "no state store"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="create"),
        pytest.param({**WAIT, "deferrable": False}, id="wait in the worker", marks=pytest.mark.long),
        pytest.param({**WAIT, "deferrable": True}, id="wait in the triggerer", marks=pytest.mark.long),
    ],
)
def test_wherever_it_is_killed_there_is_one_conversation(
    arguments: dict[str, Any], has_store: bool, manual_box: TavusBox, tmp_path: Path
) -> None:
    box = manual_box
    box.account.on_create = lambda body: Script.finished(seconds=100)
    box.account.list_view = ListView(lag=3)
    box.each_request_takes(60, "get")
    operator = CreateConversationOperator(task_id="create", pal_id="p1", **arguments)

    for point in range(1, MOST_POINTS):
        kept = Kept(tmp_path / f"{point}.json")
        kept.write(run_id=f"run {point}", try_number=0, phase="none", store={}, xcoms={})
        process = Process(kept, BoxTime(box), operator, has_store)
        before = {conversation.conversation_id for conversation in box.world}

        # Its retry dies at the same point, too, if it gets there.
        unharmed = process.run(point)
        if not unharmed and not process.run(point):
            assert process.run(None)

        created = {conversation.conversation_id for conversation in box.world} - before
        assert created == {kept["result"]["conversation_id"]}, f"killed at point {point}"
        if unharmed:
            break
    else:
        raise AssertionError("no process came to the end")
    assert point > 4
