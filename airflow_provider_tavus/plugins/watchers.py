"""The watchers of conversations in Airflow's database, and the storing of an event in the place of one of them."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.triggers.event import ConversationEventTrigger
from airflow_provider_tavus.triggers.event_state import CLAIMED_KEY, StateOfAssets, hour_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.models.trigger import Trigger
    from sqlalchemy.orm import Session

    from airflow_provider_tavus.triggers.event_state import EventState

log = logging.getLogger(__name__)


class NotNotedError(Exception):
    """An event was not noted where it was to be stored, as our listener does: it is not stored."""


@dataclass(frozen=True)
class Watcher:
    """
    A watcher as Airflow's database has it.

    :param trigger_id: Airflow's number of its trigger.
    :param asset_ids: Airflow's numbers of the assets that its events are for.
    """

    trigger_id: int
    asset_ids: tuple[int, ...]
    trigger: ConversationEventTrigger

    def store_event(self, payload: dict[str, Any]) -> bool:
        """
        Store the event of a conversation in one transaction, as Airflow does when a watcher has fired it.

        :return: False if it is for the watcher to decide, which has claimed it, or has had it, or is to begin yet.
        :raises NotNotedError: if the transaction would not say that the conversation has had its event.
        """
        from airflow.models.trigger import Trigger
        from airflow.triggers.base import TriggerEvent
        from airflow.utils.session import create_session

        if payload["created_at"] is None or payload["ready_at"] is None:
            return False
        # This thread's session, as our listener takes it.
        with create_session() as session:
            if not (self._holds_claims_back(payload["conversation_id"], session) and self._is_as_it_was(session)):
                return False
            state = StateOfAssets(
                [_Store(asset_id, session) for asset_id in self.asset_ids], self.trigger.name_in_the_state
            )
            if not asyncio.run(_is_to_come(state, payload)):
                return False
            Trigger.submit_event(self.trigger_id, TriggerEvent(payload), session=session)
            session.flush()
            if payload["conversation_id"] not in asyncio.run(_settled(state, payload)):
                raise NotNotedError(f"The event of {payload['conversation_id']} is left to its watcher.")
        return True

    def _holds_claims_back(self, conversation_id: str, session: Session) -> bool:
        """Let all claims on our assets wait until this transaction is over; False if this one is claimed already."""
        from airflow.models.asset_state_store import AssetStateStoreModel
        from sqlalchemy import select, update

        own = CLAIMED_KEY.format(watcher=self.trigger.name_in_the_state)
        are_claims = (
            AssetStateStoreModel.asset_id.in_(self.asset_ids),
            AssetStateStoreModel.key.like(CLAIMED_KEY.format(watcher="%")),
        )
        # A write before any read: it changes nothing, but makes whoever claims wait, on each database.
        lock = update(AssetStateStoreModel).where(*are_claims).values(updated_at=AssetStateStoreModel.updated_at)
        session.execute(lock, execution_options={"synchronize_session": False})
        columns = AssetStateStoreModel.asset_id, AssetStateStoreModel.key, AssetStateStoreModel.value
        claims = {
            (asset_id, key): value for asset_id, key, value in session.execute(select(*columns).where(*are_claims))
        }
        # Without a row there is nothing to hold back.
        all_are_held_back = {(asset_id, own) for asset_id in self.asset_ids} <= claims.keys()
        return all_are_held_back and not any(conversation_id in json.loads(value) for value in claims.values())

    def _is_as_it_was(self, session: Session) -> bool:
        from airflow.models.asset import AssetWatcherModel
        from sqlalchemy import select

        query = select(AssetWatcherModel.asset_id).where(AssetWatcherModel.trigger_id == self.trigger_id)
        return set(session.scalars(query)) == set(self.asset_ids)


def watchers() -> list[Watcher]:
    """Return the watchers of conversations that Airflow has at this moment: those of DAGs that are not paused."""
    from airflow.models.asset import AssetWatcherModel
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import select

    class_path = f"{ConversationEventTrigger.__module__}.{ConversationEventTrigger.__qualname__}"
    query = (
        select(Trigger, AssetWatcherModel.asset_id)
        .join(AssetWatcherModel, AssetWatcherModel.trigger_id == Trigger.id)
        .where(Trigger.classpath == class_path)
    )
    found: dict[int, tuple[Trigger, list[int]]] = {}
    with create_session() as session:
        for trigger, asset_id in session.execute(query):
            found.setdefault(trigger.id, (trigger, []))[1].append(asset_id)
        return [
            Watcher(trigger.id, tuple(sorted(asset_ids)), built)
            for trigger, asset_ids in found.values()
            if (built := _built(trigger)) is not None
        ]


def _built(row: Trigger) -> ConversationEventTrigger | None:
    """Build a trigger, or return None: one that cannot be is in no others' way."""
    try:
        return ConversationEventTrigger(**row.kwargs)
    except Exception as fault:
        _warn_of(row.id, f"{type(fault).__name__}: {fault}"[:300])
        return None


@cache
def _warn_of(trigger_id: int, why: str) -> None:
    log.warning("Callbacks have no effect on the watcher with trigger %d, which cannot be built: %s", trigger_id, why)


class _Store:
    """The state store of an asset as a trigger has it, read in a transaction."""

    def __init__(self, asset_id: int, session: Session) -> None:
        from airflow.state import AssetScope

        self._scope = AssetScope(asset_id=asset_id)
        self._session = session

    async def aget(self, key: str) -> Any:
        from airflow.state import get_state_backend

        stored = get_state_backend().get(self._scope, key, session=self._session)
        return None if stored is None else json.loads(stored)


async def _is_to_come(state: EventState, payload: dict[str, Any]) -> bool:
    """Say whether the watcher has yet to fire the event, by what it has written down."""
    # In this order: before a watcher forgets who is settled, it writes down that it looks no further back.
    settled = await _settled(state, payload)
    progress = await state.load()
    return (
        progress is not None
        and payload["conversation_id"] not in settled
        and progress.covers(
            payload["conversation_id"],
            created_at=datetime.fromisoformat(payload["created_at"]).timestamp(),
            ready_at=datetime.fromisoformat(payload["ready_at"]).timestamp(),
        )
    )


async def _settled(state: EventState, payload: dict[str, Any]) -> Sequence[str]:
    return list(await state.settled(hour_of(payload["created_at"])))
