"""The journal where it lies: in Airflow's database, in the state store of an asset. For the API server only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_provider_tavus.callbacks.journal import HEAD_KEY, RECENT_KEY, append

if TYPE_CHECKING:
    from collections.abc import Sequence


def append_to_journal(asset: str, ids: Sequence[str]) -> bool:
    """
    Append ids in one transaction, one writer at a time.

    :param asset: the name of the asset whose state store has the journal.
    :return: False if there is no such asset, or none that is active: the ids are dropped.
    """
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    is_the_asset = AssetModel.name == asset, AssetModel.active.has()
    backend = get_state_backend()
    with create_session(scoped=False) as session:
        # A write before any read: it changes nothing, but makes every other writer wait on each database (SQLite has
        # no row locks, and refuses to write after a read that is out of date), and with any state backend.
        lock = update(AssetModel).where(*is_the_asset).values(updated_at=AssetModel.updated_at)
        session.execute(lock, execution_options={"synchronize_session": False})
        asset_id = session.scalar(select(AssetModel.id).where(*is_the_asset))
        if asset_id is None:
            return False
        scope = AssetScope(asset_id=asset_id)
        stored = backend.get(scope, RECENT_KEY, session=session)
        recent = append(_read(stored), ids)
        backend.set(scope, RECENT_KEY, json.dumps(recent), session=session)
        backend.set(scope, HEAD_KEY, json.dumps(recent["n"]), session=session)
    return True


def _read(stored: str | None) -> object:
    try:
        return None if stored is None else json.loads(stored)
    except ValueError:
        # Somebody wrote something else there; it is begun anew.
        return None
