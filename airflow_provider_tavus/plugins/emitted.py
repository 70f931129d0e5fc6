"""
A listener that notes which conversations have had their event, in the transaction that stores the event.

A watcher yields an event, and a moment later another process stores it. Whatever is killed in between, the watcher that
comes after finds here whether it was stored: both are in the database, or neither is. Airflow calls listeners of assets
before it commits, in the thread whose session that is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.listeners.types import AssetEvent


@hookimpl
def on_asset_event_emitted(asset_event: AssetEvent) -> None:
    """Note the conversation of an event that a watcher of ours has yielded; leave all others alone."""
    conversation_id = conversation_of(asset_event.extra)
    if conversation_id is not None:
        _settle(conversation_id, asset_event.asset.name, asset_event.asset.uri)


def conversation_of(extra: Any) -> str | None:
    """Return the conversation that an asset event is about, if it is one of ours; see ``Trigger.submit_event``."""
    payload = extra.get("payload") if isinstance(extra, dict) and extra.get("from_trigger") else None
    if isinstance(payload, dict) and "ready_at" in payload:
        conversation_id = payload.get("conversation_id")
        return conversation_id if isinstance(conversation_id, str) else None
    return None


def _settle(conversation_id: str, name: str, uri: str) -> None:
    from airflow import settings
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from sqlalchemy import select

    from airflow_provider_tavus.plugins.queued import take_in_what_has_come
    from airflow_provider_tavus.triggers.event_state import SETTLED_KEY

    assert settings.Session is not None
    # This thread's own: the one that the event was added to.
    session = settings.Session()
    # Nested: should this fail, the event itself is stored all the same.
    with session.begin_nested():
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == name, AssetModel.uri == uri))
        if asset_id is not None:
            key = SETTLED_KEY.format(conversation_id=conversation_id)
            get_state_backend().set(AssetScope(asset_id=asset_id), key, json.dumps("ready"), session=session)
            take_in_what_has_come(asset_id, session)
