"""The example DAGs, as a user would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow


def test_no_example_has_an_import_error(airflow: RealAirflow) -> None:
    airflow.unpause("example_tavus_gated")
    assert airflow.import_errors() == {}


def test_wait_then_read(airflow: RealAirflow, box: BoxProcess) -> None:
    conversation_id = box.add({"name": "finished", "seconds": 12, "transcript_delay": 4})

    run_id = airflow.trigger("example_tavus_wait_then_read", {"conversation_id": conversation_id})
    airflow.wait_for_task_state("example_tavus_wait_then_read", run_id, "wait", "deferred")
    assert airflow.wait_for_run("example_tavus_wait_then_read", run_id) == "success"

    verdict = airflow.xcom("example_tavus_wait_then_read", run_id, "wait")
    conversation = airflow.xcom("example_tavus_wait_then_read", run_id, "read")
    assert (verdict["conversation_id"], verdict["state"]) == (conversation_id, "ready")
    assert conversation["transcript"]
    spoken = [turn for turn in conversation["transcript"] if turn["role"] in {"user", "assistant"}]
    assert airflow.xcom("example_tavus_wait_then_read", run_id, "summarise")["turns"] == len(spoken)
    for task_id in ("wait", "read"):
        assert airflow.rest.links("example_tavus_wait_then_read", run_id, task_id) == {
            "Tavus Conversation": f"https://platform.tavus.io/conversations/{conversation_id}"
        }


@pytest.mark.long
def test_mapped(airflow: RealAirflow, box: BoxProcess) -> None:
    there = box.add("finished", created_at=box.now() - 3600)
    later = box.add({"name": "finished", "seconds": 8})
    never = box.add("test_mode", created_at=box.now() - 3600)

    run_id = airflow.trigger("example_tavus_mapped", {"conversation_ids": [there, never, later]})
    assert airflow.wait_for_run("example_tavus_mapped", run_id) == "success"

    verdicts = airflow.xcom("example_tavus_mapped", run_id, "wait")
    assert [(verdict["conversation_id"], verdict["state"]) for verdict in verdicts] == [
        (there, "ready"),
        (never, "never"),
        (later, "ready"),
    ]
    read = [airflow.xcom("example_tavus_mapped", run_id, "read", map_index=index) for index in range(2)]
    assert [conversation["conversation_id"] for conversation in read] == [there, later]


@pytest.mark.long
def test_gate(airflow: RealAirflow, box: BoxProcess) -> None:
    conversation_id = box.add({"name": "finished", "seconds": 6})
    airflow.unpause("example_tavus_gated")

    run_id = airflow.trigger("example_tavus_gate", {"conversation_id": conversation_id})
    assert airflow.wait_for_run("example_tavus_gate", run_id) == "success"

    (gated,) = airflow.wait_for_runs("example_tavus_gated", 1)
    assert airflow.wait_for_run("example_tavus_gated", gated) == "success"
    assert airflow.xcom("example_tavus_gated", gated, "read", map_index=0)["conversation_id"] == conversation_id


@pytest.mark.long
def test_collect(airflow: RealAirflow, box: BoxProcess) -> None:
    ids = [box.add("finished", created_at=box.now() - 7200) for _ in range(3)]

    run_id = airflow.trigger("example_tavus_collect")
    assert airflow.wait_for_run("example_tavus_collect", run_id) == "success"

    certificate = airflow.xcom("example_tavus_collect", run_id, "collect")
    assert certificate["complete"]
    assert certificate["collected"] + certificate["already_had"] >= len(ids)
    days = airflow.xcom("example_tavus_collect", run_id, "talk_by_day")
    assert sum(day["calls"] for day in days) >= len(ids)
    assert days[0]["user_talk_seconds"] > 0


@pytest.mark.long
def test_whole_life(airflow: RealAirflow, box: BoxProcess) -> None:
    run_id = airflow.trigger("example_tavus_whole_life", {"max_call_duration": 8})
    assert airflow.wait_for_run("example_tavus_whole_life", run_id) == "success"

    conversation = airflow.xcom("example_tavus_whole_life", run_id, "read")
    name, conversation_id = conversation["conversation_name"], conversation["conversation_id"]
    assert conversation["transcript"]
    assert airflow.rest.links("example_tavus_whole_life", run_id, "create") == {
        "Tavus Conversation": f"https://platform.tavus.io/conversations/{conversation_id}"
    }

    old = box.add("finished", created_at=box.now() - 31 * 24 * 3600, name=name)
    somebody_elses = box.add("finished", created_at=box.now() - 31 * 24 * 3600, name="Another interview")
    run_id = airflow.trigger("example_tavus_forget")
    assert airflow.wait_for_run("example_tavus_forget", run_id) == "success"

    # Its own schedule may have been quicker than the run that was asked for.
    left = {row["conversation_id"] for row in box.rows()}
    assert old not in left
    assert {conversation_id, somebody_elses} <= left
