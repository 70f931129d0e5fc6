"""What the documents show, done as a reader would do it."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from snippets import Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

    from box_process import BoxProcess
    from real_airflow import RealAirflow

KEY = "<your Tavus API key>"
AIRFLOW_COMMANDS = [
    shlex.split(command)[1:]
    for block in blocks("bash")
    for command in block.text.replace("\\\n", " ").splitlines()
    if command.startswith("airflow ")
]
EVERYTHING = [
    {"event_type": "application.perception_analysis", "properties": {"analysis": "calm"}, "after_shutdown": 30},
    {"event_type": "application.recording_ready", "properties": {"s3_key": "c/1.mp4"}, "after_shutdown": 20},
]


@pytest.mark.long
@pytest.mark.parametrize(
    "block",
    [
        block
        for block in blocks("python")
        if block.runs_here and (block.dags or block.scheduled_dags) and not block.watches
    ],
    ids=lambda block: block.name,
)
def test_a_documented_dag_runs_as_it_stands(block: Block, airflow: RealAirflow, box: BoxProcess) -> None:
    done = box.add({"name": "finished", "further_events": EVERYTHING}, created_at=box.now() - 3600)
    box.steer("PATCH", "account", {"on_create": {"name": "finished", "seconds": 5}})
    for dag_id in block.scheduled_dags:
        airflow.unpause(dag_id)
    conf = {"conversation_ids": [done]} if '"conversation_ids"' in block.text else {"conversation_id": done}

    runs = [(dag_id, airflow.trigger(dag_id, conf)) for dag_id in block.dags]
    runs += [(dag_id, run_id) for dag_id in block.scheduled_dags for run_id in airflow.wait_for_runs(dag_id, 1)]

    for dag_id, run_id in runs:
        assert airflow.wait_for_run(dag_id, run_id) == "success"
        assert set(airflow.task_states(dag_id, run_id).values()) == {"success"}
    assert box.requests(conversation_id=done) or box.requests(route="create") or box.requests(route="list")


def test_no_documented_dag_has_an_import_error(airflow: RealAirflow) -> None:
    for block in blocks("python"):
        # A watcher would ask the fake service for things that other tests count; it is unpaused in test_events.
        for dag_id in (block.dags + block.scheduled_dags) * (block.runs_here and not block.watches):
            airflow.unpause(dag_id)
    assert airflow.import_errors() == {}


@pytest.mark.long
def test_the_documented_commands_make_the_connections_that_they_tell_of(airflow: RealAirflow, tmp_path: Path) -> None:
    # No other test sees them: the connections in the environment go first.
    # Two documents show the same one.
    for arguments in dict.fromkeys(map(tuple, AIRFLOW_COMMANDS)):
        if arguments[:2] != ("connections", "add"):
            continue
        added = airflow.command(*arguments)
        assert added.returncode == 0, added.stdout + added.stderr

    there = exported(airflow, tmp_path)
    for conn_id in ("tavus_default", "tavus_behind_proxy"):
        assert (there[conn_id]["conn_type"], there[conn_id]["password"]) == ("tavus", KEY)
    assert json.loads(there["tavus_behind_proxy"]["extra"]) == {
        "proxy": "http://proxy.example.com:3128",
        "ca_bundle": "/etc/ssl/certs/corporate.pem",
    }


@pytest.mark.long
def test_the_documented_test_of_the_connection_says_that_the_key_is_accepted(
    airflow: RealAirflow, box: BoxProcess
) -> None:
    (arguments,) = [arguments for arguments in AIRFLOW_COMMANDS if arguments[:2] == ["connections", "test"]]
    tested = airflow.command(*arguments)
    assert "success" in tested.stdout, tested.stdout + tested.stderr
    assert [request["status"] for request in box.requests()] == [200]


def exported(airflow: RealAirflow, folder: Path) -> dict[str, Any]:
    """The connections in Airflow's database."""
    file = folder / "connections.json"
    file.unlink(missing_ok=True)
    airflow.command("connections", "export", str(file))
    return dict(json.loads(file.read_text()))
