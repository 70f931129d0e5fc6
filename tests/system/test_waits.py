"""What a wait lives through on a real Airflow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

MODES = ("poke", "reschedule", "deferrable", "from_trigger")
POKE_INTERVAL = 3


def test_a_wait_survives_the_death_of_its_triggerer_and_asks_no_more_often(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    conversation_id = box.add("active")
    began = time.time()
    run_id = airflow.trigger("waits_for_one", {"conversation_id": conversation_id})
    airflow.wait_for_task_state("waits_for_one", run_id, "wait", "deferred")
    box.wait_for_requests(3, conversation_id=conversation_id)

    airflow.triggerer.kill()
    airflow.triggerer.start()
    asked_before = len(box.requests(conversation_id=conversation_id))
    box.wait_for_requests(asked_before + 2, conversation_id=conversation_id)
    box.end(conversation_id)

    assert airflow.wait_for_run("waits_for_one", run_id) == "success"
    looks = [request["wall"] for request in box.requests(conversation_id=conversation_id)]
    assert len(looks) <= (looks[-1] - began) / POKE_INTERVAL + 2


def test_a_wait_that_starts_in_the_triggerer_survives_its_death_and_ends_as_others_do(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    conversation_id = box.add("active")
    run_id = airflow.trigger("waits_without_a_worker", {"conversation_id": conversation_id})
    airflow.wait_for_task_state("waits_without_a_worker", run_id, "wait", "deferred")
    box.wait_for_requests(2, conversation_id=conversation_id)

    airflow.triggerer.kill()
    airflow.triggerer.start()
    box.end(conversation_id)

    assert airflow.wait_for_run("waits_without_a_worker", run_id) == "success"
    # Where it cannot start there, in a mapped task or with an id from another task, it waits all the same.
    for task_id, map_index in (("wait", -1), ("handed_over", -1), ("mapped", 0)):
        verdict = airflow.xcom("waits_without_a_worker", run_id, task_id, map_index=map_index)
        assert (verdict["conversation_id"], verdict["state"]) == (conversation_id, "ready")
    if airflow.starts_from_trigger:
        worker_starts = airflow.task_log("waits_without_a_worker", run_id, "wait").count("Filling up the DagBag")
        assert worker_starts == 1


@pytest.mark.long
def test_the_modes_agree_on_a_real_airflow(airflow: RealAirflow, box: BoxProcess) -> None:
    conversation_id = box.add({"name": "finished", "seconds": 15})

    run_id = airflow.trigger("waits_in_every_mode", {"conversation_id": conversation_id})
    assert airflow.wait_for_run("waits_in_every_mode", run_id) == "success"

    verdicts = [airflow.xcom("waits_in_every_mode", run_id, mode) for mode in MODES]
    assert verdicts[0]["state"] == "ready"
    assert verdicts == [verdicts[0]] * len(MODES)


@pytest.mark.long
def test_results_that_never_come_fail_every_mode_with_the_reason_in_the_xcom(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    conversation_id = box.add({"name": "nobody_joined", "seconds": 6})

    run_id = airflow.trigger("waits_in_every_mode", {"conversation_id": conversation_id})
    assert airflow.wait_for_run("waits_in_every_mode", run_id) == "failed"

    for mode in MODES:
        assert airflow.xcom("waits_in_every_mode", run_id, mode)["reason"] == "nobody_joined"
        assert "nobody joined it" in airflow.task_log("waits_in_every_mode", run_id, mode)


def test_a_time_out_fails_every_mode_without_a_retry(airflow: RealAirflow, box: BoxProcess) -> None:
    conversation_id = box.add("active")

    run_id = airflow.trigger("waits_too_long", {"conversation_id": conversation_id})
    assert airflow.wait_for_run("waits_too_long", run_id) == "failed"

    for mode in MODES:
        log = airflow.task_log("waits_too_long", run_id, mode)
        assert "Timed out after 12 s" in log
        assert airflow.tries("waits_too_long", run_id, mode) == 1
        assert airflow.xcom("waits_too_long", run_id, mode)["state"] == "waiting"


@pytest.mark.long
def test_an_unknown_id_fails_at_once_without_a_retry(airflow: RealAirflow, box: BoxProcess) -> None:
    run_id = airflow.trigger("waits_too_long", {"conversation_id": "c404"})
    assert airflow.wait_for_run("waits_too_long", run_id) == "failed"

    assert len(box.requests(conversation_id="c404")) == len(MODES)
    for mode in MODES:
        assert airflow.tries("waits_too_long", run_id, mode) == 1
        assert "Check the id" in airflow.task_log("waits_too_long", run_id, mode)


@pytest.mark.long
def test_the_time_out_counts_over_the_death_of_a_worker(airflow: RealAirflow, box: BoxProcess) -> None:
    if not airflow.keeps_task_state:
        pytest.skip("this Airflow has no task state store: a retry starts the time-out anew")
    conversation_id = box.add("active")

    run_id = airflow.trigger("waits_in_a_dying_worker", {"conversation_id": conversation_id})
    assert airflow.wait_for_run("waits_in_a_dying_worker", run_id) == "failed"

    assert airflow.tries("waits_in_a_dying_worker", run_id, "wait") == 2
    assert "Timed out after 15 s" in airflow.task_log("waits_in_a_dying_worker", run_id, "wait")
    # One look before the death; after it, what 15 s leave when the retry alone began 10 s later.
    assert len(box.requests(conversation_id=conversation_id)) <= 1 + 3


@pytest.mark.long
def test_clearing_a_task_that_waits_begins_the_time_out_anew(airflow: RealAirflow, box: BoxProcess) -> None:
    if not airflow.keeps_task_state:
        pytest.skip("this Airflow has no task state store: a cleared task begins the time-out anew in any case")
    ids = {mode: box.add("active") for mode in ("poke", "deferrable")}
    run_id = airflow.trigger("waits_and_is_cleared", ids)
    for conversation_id in ids.values():
        # The second look of a wait that is deferred is the triggerer's.
        box.wait_for_requests(4, conversation_id=conversation_id)

    cleared_at = time.time()
    airflow.clear("waits_and_is_cleared", run_id)
    assert airflow.wait_for_run("waits_and_is_cleared", run_id) == "failed"

    for mode, conversation_id in ids.items():
        assert "Timed out after 30 s" in airflow.task_log("waits_and_is_cleared", run_id, mode)
        assert box.requests(conversation_id=conversation_id)[-1]["wall"] > cleared_at + 30
