"""Never two conversations for one task, and never somebody else's, whatever happens between its tries."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_provider_tavus.api.client import TavusClient
from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.testing import ListView, ManualClock, Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = st.sampled_from([f"run {number}" for number in range(3)])
NAME = "Interview"
"""All tasks give their conversations the same name."""


class Killed(BaseException):
    """The end of a worker: nothing that the operator does on errors is done."""


@dataclass
class Death:
    """
    A worker dies with one of its requests: before it is sent, or when its answer is there and nobody has read it.

    :param request: which one it is, from 1 on.
    :param moment: ``before`` or ``after``.
    """

    request: int
    moment: str

    def __enter__(self) -> None:
        exchange, requests = TavusClient._exchange, count(1)

        def deadly_exchange(client: TavusClient, call: Any) -> Any:
            is_the_one = next(requests) == self.request
            if is_the_one and self.moment == "before":
                raise Killed
            answer = exchange(client, call)
            if is_the_one:
                raise Killed
            return answer

        self.patch = mock.patch.object(TavusClient, "_exchange", deadly_exchange)
        self.patch.start()

    def __exit__(self, *_: object) -> None:
        self.patch.stop()


class Creating(RuleBasedStateMachine):
    """
    Three runs of one task, whose conversations all have the same name, in an account that others use as well.

    The model tells whose a conversation is by its PAL, which the operator does not look at.
    """

    make_task: Callable[..., Any]
    make_clock: Callable[..., Any]

    @initialize(has_store=st.booleans(), seed=st.integers(0, 1000))
    def begin(self, has_store: bool, seed: int) -> None:
        self.stack = ExitStack()
        self.has_store = has_store
        self.box = self.stack.enter_context(TavusBox.in_thread(clock=ManualClock(), seed=seed))
        connection = {
            "conn_type": "tavus",
            "host": self.box.base_url,
            "password": self.box.api_key,
            "extra": {"retries": 0, "read_timeout": 0.2},
        }
        self.stack.enter_context(mock.patch.dict(os.environ, AIRFLOW_CONN_TAVUS_DEFAULT=json.dumps(connection)))
        self.stack.enter_context(mock.patch.object(CreateConversationOperator, "_clock", self.make_clock(self.box)))
        self.box.account.on_create = lambda body: Script.finished(seconds=body["properties"]["max_call_duration"])
        store = {} if has_store else {"store": None}
        self.tasks = {
            run_id: type(self).make_task(run_id=run_id, now=self.box.clock.now, **store)
            for run_id in (f"run {number}" for number in range(3))
        }
        self.allowed = dict.fromkeys(self.tasks, 1)
        self.succeeded = dict.fromkeys(self.tasks, False)

    @rule(
        run_id=TASKS,
        seconds=st.sampled_from([1, 60, 3000]),
        test_mode=st.booleans(),
        fault=st.sampled_from([None, "lost_answer", "lost_answer", "cut", "reset", "html", "answer"]),
        is_list_out=st.booleans(),
        death=st.sampled_from([None, None, Death(1, "before"), Death(1, "after"), Death(2, "before")]),
    )
    def try_it(
        self, run_id: str, seconds: int, test_mode: bool, fault: Any, is_list_out: bool, death: Death | None
    ) -> None:
        task = self.tasks[run_id]
        if self.succeeded[run_id]:
            return
        if fault is not None:
            self.box.trouble(fault, route="create", times=1)
        if is_list_out:
            self.box.trouble(status=503, route="list")
        operator = CreateConversationOperator(
            task_id="create",
            pal_id=run_id,
            conversation_name=NAME,
            test_mode=test_mode,
            properties={"max_call_duration": seconds},
            concurrency_timeout=30,
            deferrable=False,
        )
        before = self.of(run_id)
        try:
            with death or nullcontext():
                result = task.run(operator)
        except Killed:
            pass
        except (TavusError, AirflowFailException) as error:
            self.expect(error)
        else:
            self.succeeded[run_id] = True
            assert result["conversation_id"] in self.of(run_id), "somebody else's"
        self.box.stop_troubles()
        if not self.has_store and set(self.of(run_id)) != set(before):
            now = self.box.clock.now()
            assert all(self.box.conversation(one).is_over(now) for one in before), (
                "it should have gone on with this one"
            )

    def expect(self, error: Exception) -> None:
        at_the_limit = isinstance(error, AirflowFailException) and "maximum concurrent" in str(error)
        assert at_the_limit or getattr(error, "transient", False), error

    @rule(run_id=TASKS)
    def clear(self, run_id: str) -> None:
        if self.tasks[run_id].try_number:
            self.tasks[run_id].clear()
            # Where nothing says whether the task was done, a cleared one may create another, if the call is over.
            self.allowed[run_id] += self.succeeded[run_id] or not self.has_store
            self.succeeded[run_id] = False

    @rule(
        lag=st.sampled_from([0.0, 10.0, 59.0]),
        cap=st.sampled_from([None, 2]),
        order=st.sampled_from(["newest", "random"]),
    )
    def change_the_list(self, lag: float, cap: int | None, order: Any) -> None:
        self.box.account.list_view = ListView(lag=lag, limit_cap=cap, order=order)

    @rule(run_id=TASKS, copied=st.booleans(), minutes=st.integers(2, 5))
    def let_others_create_under_the_same_name(self, run_id: str, copied: bool, minutes: int) -> None:
        mine = self.of(run_id)
        # A copy is made of what can be seen, and so some time after it.
        self.box.advance(60 * minutes if copied else 0)
        name = self.box.conversation(mine[0]).name if copied and mine else NAME
        self.box.add(Script.active(), name=name, persona_id="others")

    @rule(limit=st.sampled_from([None, None, 1]))
    def limit_the_account(self, limit: int | None) -> None:
        self.box.account.concurrency_limit = limit

    @rule(seconds=st.sampled_from([1, 30, 4000]))
    def let_time_pass(self, seconds: int) -> None:
        self.box.advance(seconds)

    @precondition(lambda self: hasattr(self, "box"))
    @invariant()
    def nobody_has_two(self) -> None:
        for run_id in self.tasks:
            assert len(self.of(run_id)) <= self.allowed[run_id]

    def of(self, run_id: str) -> list[str]:
        return [one.conversation_id for one in list(self.box.world) if one.persona_id == run_id]

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()


@pytest.mark.long
@pytest.mark.usefixtures("manual_box")
def test_never_two_and_never_somebody_elses(task_instance_type: Any, box_time_type: Any) -> None:
    Creating.make_task = task_instance_type
    Creating.make_clock = box_time_type
    run_state_machine_as_test(Creating, settings=settings(max_examples=100, stateful_step_count=20))
