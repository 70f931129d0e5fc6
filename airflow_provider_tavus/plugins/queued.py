"""
A place in Airflow's queue of assets that takes in all events before it.

Up to Airflow 3.3, what waits for a DAG is one row for each asset, with the time of the first event: the run that comes
of it takes what happened until then and drops the row. An event that came between the two would wait for the next one,
which may never come (apache/airflow#56050, mended after 3.3 by #62501 and #70972).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def take_in_what_has_come(asset_id: int, session: Session) -> None:
    """
    Let what waits for DAGs on this asset include every event up to now.

    To be called in the transaction that stores an event, after it and before Airflow queues it: so a scheduler that has
    just taken the row is waited for, and Airflow puts a new one there.
    """
    from airflow.models.asset import AssetDagRunQueue
    from sqlalchemy import case, update

    one_row_for_each_asset = set(AssetDagRunQueue.__table__.primary_key.columns.keys()) == {"asset_id", "target_dag_id"}
    if one_row_for_each_asset:
        queued_at, now = AssetDagRunQueue.created_at, datetime.now(UTC)
        # Never earlier: another machine's clock may be a little ahead.
        later_one = case((queued_at < now, now), else_=queued_at)
        later = update(AssetDagRunQueue).where(AssetDagRunQueue.asset_id == asset_id).values(created_at=later_one)
        session.execute(later.execution_options(synchronize_session=False))


def tell_apart_from_before(asset_id: int, extra: Any, session: Session) -> None:
    """
    Let an event be of this moment, which is later than all that others have stored of this asset.

    To be called while everybody else who stores an event of it waits. Airflow dates an event before that: if it came to
    wait, its date can be older than what a run has taken in meanwhile, and no run would have it.
    """
    from airflow.models.asset import AssetEvent

    for event in session.identity_map.values():
        if isinstance(event, AssetEvent) and event.asset_id == asset_id and event.extra == extra:
            event.timestamp = datetime.now(UTC)
    session.flush()
