"""Many waits at a time, and a triggerer that dies among them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

DAG_ID = "waits_for_twenty"
IN_A_RUN = 20
MOST_READS = 5
"""Each once when it is over, and again by the second triggerer if the first has died with the news; a conversation that
seems to be missing, because others ended while the pages of the list were read, costs one more in each interval."""


@pytest.mark.alone
def test_many_waits_end_as_they_should_though_their_triggerer_dies(
    airflow: RealAirflow, box: BoxProcess, pytestconfig: pytest.Config
) -> None:
    if not airflow.starts_from_trigger:
        pytest.skip("this Airflow starts every wait in a worker, which takes a second each")
    waits = pytestconfig.getoption("waits") // IN_A_RUN * IN_A_RUN
    calls = [box.add("active") for _ in range(waits)]
    runs = [
        airflow.trigger(DAG_ID, {"conversation_ids": calls[start : start + IN_A_RUN]})
        for start in range(0, waits, IN_A_RUN)
    ]
    airflow.wait_for(f"one triggerer to have {waits} waits", lambda: waits_of_each_triggerer(airflow) == [waits], 120)
    # Airflow unpacks the whole DAG for each of them, and hands on no event before it has begun them all.
    airflow.wait_for("every wait to be under way", lambda: reads_of_each_call(box).keys() == set(calls), 60 + waits / 4)

    another = airflow.start_another_triggerer()
    for conversation_id in calls[: waits // 2]:
        box.end(conversation_id)
    airflow.wait_for("the first to be over", lambda: sum(waits_of_each_triggerer(airflow)) < waits, 60)
    airflow.triggerer.kill()
    for conversation_id in calls[waits // 2 :]:
        box.end(conversation_id)
    assert {airflow.wait_for_run(DAG_ID, run_id, timeout=30 + waits) for run_id in runs} == {"success"}
    airflow.triggerer.start()
    airflow.end(another)

    verdicts = [airflow.xcom(DAG_ID, run_id, f"wait_{place}") for run_id in runs for place in range(IN_A_RUN)]
    assert [(verdict["conversation_id"], verdict["state"]) for verdict in verdicts] == [(one, "ready") for one in calls]
    reads = reads_of_each_call(box)
    assert set(reads) == set(calls)
    assert max(reads.values()) <= MOST_READS


def reads_of_each_call(box: BoxProcess) -> Counter[str]:
    """How often each call was read."""
    return Counter(request["conversation_id"] for request in box.requests(route="get"))


def waits_of_each_triggerer(airflow: RealAirflow) -> list[int]:
    """How many waits each triggerer has; those that none has taken yet count as another one's."""
    query = (
        "SELECT count(*) FROM task_instance JOIN trigger ON trigger.id = task_instance.trigger_id "
        "WHERE dag_id = ? GROUP BY triggerer_id"
    )
    return [waits for (waits,) in airflow.database.rows(query, DAG_ID)]
