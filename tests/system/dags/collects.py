"""A collection shared by mapped tasks, and DAGs that run when something arrived, for the system tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator

try:
    from airflow.sdk import PartitionedAssetTimetable
except ImportError:
    PartitionedAssetTimetable = None  # type: ignore[assignment, misc]

START = datetime(2025, 1, 1, tzinfo=UTC)
ARCHIVE = Asset("file://archive/in-shards")
SHARDS = 3

with DAG(dag_id="collects_in_shards", start_date=START, schedule=None):
    CollectConversationsOperator.partial(
        task_id="collect",
        destination="{{ var.value.tavus_destination }}-in-shards",
        sweep_interval=0,
        asset=ARCHIVE,
        retries=3,
        retry_delay=timedelta(seconds=1),
    ).expand(shard=[(index, SHARDS) for index in range(SHARDS)])


@task
def arrived(**context: Any) -> Any:
    """Return what this run was started by."""
    # Its name on Airflow 2 comes second.
    triggering = context.get("triggering_asset_events") or context["triggering_dataset_events"]
    extras = [event.extra for events in triggering.values() for event in events]
    return {"extras": extras, "partition_key": getattr(context["dag_run"], "partition_key", None)}


with DAG(dag_id="runs_when_something_arrived", start_date=START, schedule=[ARCHIVE]):
    arrived()

if PartitionedAssetTimetable is not None:
    with DAG(dag_id="runs_for_each_date", start_date=START, schedule=PartitionedAssetTimetable(assets=ARCHIVE)):
        arrived()
