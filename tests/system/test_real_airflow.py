"""The harness itself: what all other system tests rely on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

DAG_ID = "defers_for_a_moment"


def test_a_wait_goes_on_when_its_triggerer_was_killed_and_started_again(airflow: RealAirflow) -> None:
    run_id = airflow.trigger(DAG_ID, {"seconds": 8})
    airflow.wait_for_task_state(DAG_ID, run_id, "wait", "deferred")
    airflow.triggerer.kill()
    assert not airflow.triggerer.is_running
    time.sleep(8)
    assert airflow.task_states(DAG_ID, run_id) == {"wait": "deferred"}, "nobody else resumes it"
    airflow.triggerer.start()
    assert airflow.wait_for_run(DAG_ID, run_id) == "success"
    assert airflow.xcom(DAG_ID, run_id, "wait") == {
        "waited": 8.0,
        "words": ["plain", '"quoted"'],
        "nothing": None,
        "done": True,
    }
    assert airflow.import_errors() == {}


def test_the_fake_service_is_steered_and_counts_from_another_process(box: BoxProcess) -> None:
    conversation_id = box.add("active", name="A call")
    box.end(conversation_id)
    assert box.requests(conversation_id=conversation_id) == []
