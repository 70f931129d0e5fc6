"""What waits for a DAG takes in all events up to the last one, as Airflow's scheduler reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

if int(version("apache-airflow").split(".")[0]) < 3:
    pytest.skip("Airflow 2 has no assets", allow_module_level=True)

from airflow.models import dag  # noqa: F401 - the queue's table refers to that of the DAGs
from airflow.models.asset import AssetDagRunQueue

from airflow_provider_tavus.plugins.queued import take_in_what_has_come

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


def test_what_waits_for_dags_on_the_asset_is_as_new_as_the_event_and_what_waits_on_others_stays() -> None:
    engine = create_engine("sqlite://")
    AssetDagRunQueue.__table__.create(engine)
    with Session(engine) as session:
        waiting = [(1, "a"), (1, "b"), (2, "a")]
        rows = [{"asset_id": asset, "target_dag_id": dag, "created_at": LONG_AGO} for asset, dag in waiting]
        session.execute(insert(AssetDagRunQueue), rows)
        event_stored_at = datetime.now(UTC)

        take_in_what_has_come(1, session)

        query = select(AssetDagRunQueue.asset_id, AssetDagRunQueue.created_at).order_by(AssetDagRunQueue.asset_id)
        (one, first), (_, second), (two, third) = session.execute(query).all()
    assert (one, two) == (1, 2)
    assert first >= event_stored_at
    assert second >= event_stored_at
    assert third == LONG_AGO
