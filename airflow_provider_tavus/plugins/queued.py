"""
A place in Airflow's queue of assets that takes in all events before it.

Up to Airflow 3.3, what waits for a DAG is one row for each asset, with the time of the first event: the run that comes
of it takes what happened until then and drops the row. An event that came between the two would wait for the next one,
which may never come (apache/airflow#56050, mended after 3.3 by #62501 and #70972).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def take_in_what_has_come(asset_id: int, session: Session) -> None:
    """
    Let what waits for DAGs on this asset include every event up to now.

    To be called in the transaction that stores an event, after it and before Airflow queues it: so a scheduler that has
    just taken the row is waited for, and Airflow puts a new one there.
    """
    from airflow.models.asset import AssetDagRunQueue
    from sqlalchemy import update

    one_row_for_each_asset = set(AssetDagRunQueue.__table__.primary_key.columns.keys()) == {"asset_id", "target_dag_id"}
    if one_row_for_each_asset:
        later = (
            update(AssetDagRunQueue).where(AssetDagRunQueue.asset_id == asset_id).values(created_at=datetime.now(UTC))
        )
        session.execute(later.execution_options(synchronize_session=False))
