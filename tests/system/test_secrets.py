"""No key and no word of a transcript is where it should not be: searched in every file and table after real runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from secret_search import files_with, tables_with

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

SENTENCE = "the canary sang at seven in the garden"
TRANSCRIPT = [{"role": "user", "content": SENTENCE, "at": 1.0}]


@pytest.mark.long
def test_key_and_transcript_stay_where_they_belong(airflow: RealAirflow, box: BoxProcess) -> None:
    ended = box.add({"name": "finished", "seconds": 5, "turns": TRANSCRIPT})
    broken = box.add({"name": "finished", "seconds": 60, "turns": TRANSCRIPT}, created_at=box.now() - 3600)
    runs = [
        ("waits_in_every_mode", {"conversation_id": ended}),
        ("waits_in_every_mode", {"conversation_id": "c404"}),
        ("waits_in_every_mode", {"conversation_id": ended, "tavus_conn_id": "tavus_wrong_key"}),
        ("reads_badly", {"conversation_id": "c404", "tavus_conn_id": "tavus_default"}),
        ("reads_badly", {"conversation_id": ended, "tavus_conn_id": "tavus_wrong_key"}),
    ]
    for kind in ("cut", "reset"):
        box.trouble(kind, conversation_id=broken, times=1)
    started = [(dag_id, airflow.trigger(dag_id, conf)) for dag_id, conf in runs]
    started.append(("waits_in_every_mode", airflow.trigger("waits_in_every_mode", {"conversation_id": broken})))
    for dag_id, run_id in started:
        airflow.wait_for_run(dag_id, run_id)

    assert set(tables_with(airflow, SENTENCE)) == set()
    read = airflow.trigger("example_tavus_wait_then_read", {"conversation_id": ended})
    assert airflow.wait_for_run("example_tavus_wait_then_read", read) == "success"

    keys = (box.api_key, "wrong-canary-key-5e0b")
    assert [files_with(airflow.home, text) for text in (*keys, SENTENCE)] == [[], [], []]
    assert [set(tables_with(airflow, key)) for key in keys] == [set(), set()]
    assert set(tables_with(airflow, SENTENCE)) == {"xcom"}
