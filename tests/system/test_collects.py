"""A collection by mapped tasks on a real Airflow, and who hears of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

try:
    from airflow.sdk.execution_time.context import OutletEventAccessor

    HAS_PARTITIONS = hasattr(OutletEventAccessor, "add_partitions")
except ImportError:
    HAS_PARTITIONS = False

DAY = 86_400.0
SHARDS = 3


@pytest.mark.long
def test_shards_share_the_work_and_dags_that_wait_for_arrivals_run(airflow: RealAirflow, box: BoxProcess) -> None:
    now = box.now()
    days = [now - DAY, now - 2 * DAY]
    for day in days:
        for number in range(8):
            box.add("finished", created_at=day - number)
    airflow.unpause("runs_when_something_arrived")
    if HAS_PARTITIONS:
        airflow.unpause("runs_for_each_date")

    first = collected_in_shards(airflow)

    # Other tests leave conversations in the box, too.
    assert sum(each["collected"] for each in first) >= 16
    airflow.wait_for_runs("runs_when_something_arrived", 1)

    # The queue of Airflow's scheduler can lose sight of an event that comes while it starts a run for others
    # (apache/airflow#56050): the next arrivals bring it along.
    for number in range(8):
        box.add("finished", created_at=days[0] - 100 - number)
    second = collected_in_shards(airflow)
    assert 0 < sum(each["collected"] for each in second) < sum(each["collected"] for each in first)
    expected = {each["run_id"]: each["collected"] for each in first if each["collected"]}
    airflow.wait_for("runs that hear of each shard", lambda: expected.items() <= heard(airflow).items(), 120)

    third = collected_in_shards(airflow)
    events = airflow.rest.asset_events("collects_in_shards")
    told = {each["run_id"] for each in [*first, *second, *third] if each["collected"]}
    assert {event["extra"].get("run_id") for event in events} == told, "where nothing arrived, nobody is told"

    if HAS_PARTITIONS:
        dates = {f"{datetime.fromtimestamp(day, UTC):%Y-%m-%d}" for day in days}
        airflow.wait_for("a run for each date", lambda: dates <= partition_keys(airflow), 120)


def collected_in_shards(airflow: RealAirflow) -> list[dict[str, Any]]:
    """Let the mapped tasks collect, and return their certificates."""
    run_id = airflow.trigger("collects_in_shards")
    ended = airflow.wait_for_run("collects_in_shards", run_id, timeout=240)
    assert ended == "success", airflow.situation("collects_in_shards", run_id)
    certificates = [airflow.xcom("collects_in_shards", run_id, "collect", map_index=index) for index in range(SHARDS)]
    assert [each["shard"] for each in certificates] == ["0/3", "1/3", "2/3"]
    assert all(each["complete"] for each in certificates)
    return certificates


def heard(airflow: RealAirflow) -> dict[str, int]:
    """Return the collections of which runs have heard by now, each with how many conversations it told of."""
    runs = airflow.wait_for_runs("runs_when_something_arrived", 1)
    for run in runs:
        ended = airflow.wait_for_run("runs_when_something_arrived", run)
        assert ended == "success", airflow.situation("runs_when_something_arrived", run)
    extras = [airflow.xcom("runs_when_something_arrived", run, "arrived")["extras"] for run in runs]
    return {extra["run_id"]: extra["collected"] for of_run in extras for extra in of_run}


def partition_keys(airflow: RealAirflow) -> set[str]:
    """Return the dates for which there were runs by now."""
    runs = airflow.wait_for_runs("runs_for_each_date", 1)
    assert all(airflow.wait_for_run("runs_for_each_date", run) == "success" for run in runs)
    return {airflow.xcom("runs_for_each_date", run, "arrived")["partition_key"] for run in runs}
