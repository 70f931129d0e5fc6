"""One conversation for one task, on a real Airflow, whatever dies; and nobody is hung up on by a restart."""

from __future__ import annotations

import os
import re
import signal
import time
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

LONGEST_SILENCE = 8
"""Seconds without a sign of life after which a triggerer's triggers are handed to another one; see the settings."""

SCHEDULER_IS_MISSED_AFTER = 35
"""Seconds without a sign of life after which another scheduler takes its tasks over: 30, by default, and some more."""


class Run:
    """A run of one of the DAGs, whose conversations can be told from all others."""

    def __init__(self, airflow: RealAirflow, box: BoxProcess, dag_id: str, **conf: Any) -> None:
        self.airflow, self.box, self.dag_id = airflow, box, dag_id
        self.pal_id = f"p{uuid.uuid4().hex[:12]}"
        self.run_id = airflow.trigger(dag_id, {"pal_id": self.pal_id, **conf})

    def conversations(self) -> list[str]:
        return [row["conversation_id"] for row in self.rows()]

    def rows(self) -> list[dict[str, Any]]:
        return [row for row in self.box.rows() if row["persona_id"] == self.pal_id]

    def wait_for_deferral(self) -> None:
        self.airflow.wait_for_task_state(self.dag_id, self.run_id, "create", "deferred", timeout=180)

    def wait_for_the_trigger(self) -> None:
        """Wait until the triggerer has begun: it looks after the worker has created the conversation and looked."""
        self.wait_for_deferral()
        # By the requests alone it could not be told from the waits that other tests have left going on.
        self.airflow.wait_for("the trigger to start", lambda: re.search("trigger .* starting", self.log()), 180)
        self.box.wait_for_requests(1 + 1 + 1)

    def is_cleared_where_airflow_does_not_retry_it(self) -> None:
        """
        Do what remains to be done by hand where Airflow fails a task whose process was killed, though it has retries.

        Airflow 3.0, 3.1.0 and 3.1.1 always do: https://github.com/apache/airflow/pull/55767
        """
        if self.airflow.retries_killed_tasks:
            return
        assert self.airflow.wait_for_run(self.dag_id, self.run_id) == "failed", self.log()
        assert self.airflow.tries(self.dag_id, self.run_id, "create") == 1, "this Airflow does retry it"
        self.airflow.clear(self.dag_id, self.run_id, ["create"])

    def succeeds_with_one_conversation(self) -> str:
        assert self.airflow.wait_for_run(self.dag_id, self.run_id, timeout=240) == "success", self.log()
        (conversation_id,) = self.conversations()
        result = self.airflow.xcom(self.dag_id, self.run_id, "create")
        assert result["conversation_id"] == conversation_id
        return conversation_id

    def log(self) -> str:
        return self.airflow.task_log(self.dag_id, self.run_id, "create")


def test_one_conversation_whatever_dies(airflow: RealAirflow, box: BoxProcess) -> None:
    # All at once, because each of them waits most of the time.
    box.trouble("lost_answer", route="create", times=1)
    lost = Run(airflow, box, "creates")
    box.wait_for_requests(1, route="create")
    killed = Run(airflow, box, "creates_in_a_dying_worker")
    killed.is_cleared_where_airflow_does_not_retry_it()
    cleared = Run(airflow, box, "creates_and_waits", seconds=45)
    waiting = Run(airflow, box, "creates_and_waits", seconds=25)
    cleared.wait_for_deferral()
    waiting.wait_for_deferral()

    airflow.clear(cleared.dag_id, cleared.run_id, ["create"])
    airflow.triggerer.kill()
    airflow.triggerer.start()

    for run in (lost, killed, waiting, cleared):
        run.succeeds_with_one_conversation()
    assert airflow.tries(killed.dag_id, killed.run_id, "create") == 2
    assert "looking for it" in lost.log()
    assert "Going on with conversation" in cleared.log()
    assert box.requests(route="end") == [], "a cleared task goes on with its call, though its author wants calls ended"


@pytest.mark.long
def test_one_conversation_when_a_worker_dies_with_all_that_watches_it(airflow: RealAirflow, box: BoxProcess) -> None:
    run = Run(airflow, box, "creates_and_hangs")
    box.wait_for_requests(1, route="create", timeout=180)

    # The workers of this executor are children of the scheduler, and it is the scheduler that misses them.
    airflow.scheduler.kill()
    time.sleep(SCHEDULER_IS_MISSED_AFTER)
    airflow.scheduler.start()

    run.succeeds_with_one_conversation()
    assert airflow.tries(run.dag_id, run.run_id, "create") == 2
    assert len(box.requests(route="create")) == 1


@pytest.mark.long
def test_no_call_is_ended_when_its_trigger_is_handed_to_another_triggerer(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    # It goes on until it is ended: what follows takes as long as the machine is slow.
    box.steer("PATCH", "account", {"on_create": "active"})
    run = Run(airflow, box, "creates_and_waits", seconds=3600)
    run.wait_for_the_trigger()
    first = airflow.triggerer
    assert first.pid is not None

    # It hangs so long that another one takes its triggers over, and then wakes up and finds them gone.
    another = airflow.start_another_triggerer()
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        time.sleep(LONGEST_SILENCE)
        asked = len(box.requests())
        box.wait_for_requests(asked + 3, timeout=180)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    if airflow.keeps_task_state:
        airflow.wait_for(
            "the first one to be asked to end the call",
            lambda: "The task is deferred, and so the conversation goes on" in run.log(),
            180,
        )
    (conversation_id,) = run.conversations()
    assert box.requests(route="end") == []

    box.end(conversation_id)
    run.succeeds_with_one_conversation()
    airflow.end(another)


@pytest.mark.long
def test_a_wait_in_a_worker_that_is_marked_failed_ends_its_call_if_its_author_wants_that(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    run = Run(airflow, box, "creates_and_waits_in_a_worker")
    box.wait_for_requests(1, route="get", timeout=180)

    airflow.rest.mark_failed(run.dag_id, run.run_id, "create")
    box.wait_for_requests(1, route="end", timeout=180)

    (conversation_id,) = run.conversations()
    assert [request["conversation_id"] for request in box.requests(route="end")] == [conversation_id]
    assert airflow.task_states(run.dag_id, run.run_id) == {"create": "failed"}


@pytest.mark.long
def test_the_documented_retry_policy_says_when_the_next_try_begins(airflow: RealAirflow, box: BoxProcess) -> None:
    if not airflow.keeps_task_state:
        pytest.skip("this Airflow has no retry policies")
    box.trouble("answer", status=429, route="create")
    run_id = airflow.trigger("hold_with_patience")
    airflow.wait_for_task_state("hold_with_patience", run_id, "create", "up_for_retry", timeout=180)
    query = "SELECT retry_delay_override FROM task_instance WHERE dag_id = ? AND run_id = ?"
    assert airflow.database.rows(query, "hold_with_patience", run_id) == [(600.0,)]

    # Somebody who does not want to wait for it clears the task.
    box.stop_troubles()
    airflow.clear("hold_with_patience", run_id, ["create"])
    assert airflow.wait_for_run("hold_with_patience", run_id) == "success"
    assert {request["status"] for request in box.requests(route="create")} == {429, 200}


@pytest.mark.long
def test_a_wait_that_is_marked_failed_ends_its_call_if_its_author_wants_that(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    if not airflow.keeps_task_state:
        pytest.skip("this Airflow does not tell a trigger why it is stopped")
    run = Run(airflow, box, "creates_and_waits", seconds=600, token="canary-token-77b1")
    run.wait_for_the_trigger()

    airflow.rest.mark_failed(run.dag_id, run.run_id, "create")
    box.wait_for_requests(1, route="end", timeout=180)

    (conversation_id,) = run.conversations()
    assert [request["conversation_id"] for request in box.requests(route="end")] == [conversation_id]
    assert "canary-token-77b1" not in run.log()
    rendered = str(airflow.database.rows("SELECT rendered_fields FROM rendered_task_instance_fields"))
    assert run.pal_id in rendered
    assert "canary-token-77b1" not in rendered


@pytest.mark.long
@pytest.mark.parametrize(
    ("creates", "places", "seconds"),
    [pytest.param(6, 2, 12, id="six share two"), pytest.param(100, 5, 10, id="100 share 5", marks=pytest.mark.alone)],
)
def test_many_creates_share_few_places(
    airflow: RealAirflow, box: BoxProcess, creates: int, places: int, seconds: int
) -> None:
    # The calls that other tests have left going on would take places.
    for row in box.rows():
        if row["status"] == "active":
            box.end(row["conversation_id"])
    box.steer("PATCH", "account", {"concurrency_limit": places})
    run = Run(airflow, box, "creates_many", creates=creates, seconds=seconds)
    assert airflow.wait_for_run(run.dag_id, run.run_id, timeout=900) == "success"

    states = airflow.task_states(run.dag_id, run.run_id)
    assert len(states) == 1 + creates
    assert set(states.values()) == {"success"}
    assert len(run.conversations()) == creates
    assert {request["status"] for request in box.requests(route="create")} == {200, 400}
    began = sorted(datetime.fromisoformat(row["created_at"]) for row in run.rows())
    lasts = timedelta(seconds=seconds)
    assert max(sum(other <= moment < other + lasts for other in began) for moment in began) == places
