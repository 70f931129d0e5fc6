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
    payload = payload_of(asset_event.extra)
    if payload is not None:
        _settle(payload, asset_event)


def payload_of(extra: Any) -> dict[str, Any] | None:
    """Return what an asset event says of a conversation, if it is one of ours; see ``Trigger.submit_event``."""
    payload = extra.get("payload") if isinstance(extra, dict) and extra.get("from_trigger") else None
    if isinstance(payload, dict) and {"conversation_id", "created_at", "ready_at"} <= payload.keys():
        return payload
    return None


def _settle(payload: dict[str, Any], asset_event: AssetEvent) -> None:
    from airflow import settings
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from sqlalchemy import select

    from airflow_provider_tavus.plugins.queued import take_in_what_has_come, tell_apart_from_before
    from airflow_provider_tavus.triggers.event_state import LAST_KEY, SETTLED_KEY, hour_of

    conversation_id = payload["conversation_id"]
    key = SETTLED_KEY.format(hour=hour_of(payload["created_at"]))
    assert settings.Session is not None
    # This thread's own: the one that the event was added to.
    session = settings.Session()
    # Nested: should this fail, the event itself is stored all the same.
    with session.begin_nested():
        asset = asset_event.asset
        is_the_asset = AssetModel.name == asset.name, AssetModel.uri == asset.uri
        asset_id = session.scalar(select(AssetModel.id).where(*is_the_asset))
        if asset_id is not None:
            scope, state = AssetScope(asset_id=asset_id), get_state_backend()
            # Whoever writes this waits for each other: so no two add to the same hour without knowing of each other.
            state.set(scope, LAST_KEY, json.dumps(conversation_id), session=session)
            settled = json.loads(state.get(scope, key, session=session) or "[]")
            if conversation_id not in settled:
                state.set(scope, key, json.dumps([*settled, conversation_id]), session=session)
            tell_apart_from_before(asset_id, asset_event.extra, session)
            take_in_what_has_come(asset_id, session)
