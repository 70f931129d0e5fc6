"""A collection by mapped tasks on a real Airflow, and who hears of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow

DAY = 86_400.0
SHARDS = 3


@pytest.mark.long
def test_shards_share_the_work_and_dags_that_wait_for_arrivals_run(airflow: RealAirflow, box: BoxProcess) -> None:
    try:
        from airflow.sdk.execution_time.context import OutletEventAccessor

        has_partitions = hasattr(OutletEventAccessor, "add_partitions")
    except ImportError:
        has_partitions = False
    now = box.now()
    for day in (1, 2):
        for number in range(6):
            box.add("finished", created_at=now - day * DAY - number)
    dates = {f"{datetime.fromtimestamp(now - day * DAY, UTC):%Y-%m-%d}" for day in (1, 2)}
    airflow.unpause("runs_when_something_arrived")
    if has_partitions:
        airflow.unpause("runs_for_each_date")

    run_id = airflow.trigger("collects_in_shards")
    ended = airflow.wait_for_run("collects_in_shards", run_id, timeout=240)
    assert ended == "success", airflow.situation("collects_in_shards", run_id)

    certificates = [airflow.xcom("collects_in_shards", run_id, "collect", map_index=index) for index in range(SHARDS)]
    assert [each["shard"] for each in certificates] == ["0/3", "1/3", "2/3"]
    assert all(each["complete"] and each["collected"] for each in certificates)
    # Other tests leave conversations in the box, too.
    collected = sum(each["collected"] for each in certificates)
    assert collected >= 12

    told: list[dict[str, Any]] = []

    def everything_was_told_of() -> bool:
        told.clear()
        for run in airflow.wait_for_runs("runs_when_something_arrived", 1):
            assert airflow.wait_for_run("runs_when_something_arrived", run) == "success"
            told.extend(airflow.xcom("runs_when_something_arrived", run, "arrived")["extras"])
        return len({extra["run_id"] for extra in told}) == SHARDS

    airflow.wait_for("the runs that every shard's arrivals start", everything_was_told_of, 120)
    assert sum({extra["run_id"]: extra["collected"] for extra in told}.values()) == collected

    if has_partitions:

        def keys() -> set[str]:
            runs = airflow.wait_for_runs("runs_for_each_date", 1)
            assert all(airflow.wait_for_run("runs_for_each_date", run) == "success" for run in runs)
            return {airflow.xcom("runs_for_each_date", run, "arrived")["partition_key"] for run in runs}

        airflow.wait_for("a run for each date", lambda: dates <= keys(), 120)

    # Nothing new: nobody is told.
    runs_before = len(airflow.wait_for_runs("runs_when_something_arrived", 1))
    run_id = airflow.trigger("collects_in_shards")
    assert airflow.wait_for_run("collects_in_shards", run_id, timeout=240) == "success"
    again = [airflow.xcom("collects_in_shards", run_id, "collect", map_index=index) for index in range(SHARDS)]
    if sum(each["collected"] for each in again) == 0:
        assert len(airflow.wait_for_runs("runs_when_something_arrived", 1)) == runs_before
