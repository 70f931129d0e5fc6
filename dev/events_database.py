"""What Airflow keeps of watchers and events, in a database of a test's own.

One asset, one DAG that is scheduled on it, and whatever watchers there are to be; our listener is at work.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select
from sqlalchemy.orm import scoped_session, sessionmaker

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.engine import Engine
    from sqlalchemy.orm import Session

    from airflow_provider_tavus.triggers.event import ConversationEventTrigger


class EventsDatabase:
    """Airflow's tables, filled as Airflow does, and to be looked into.

    Of Airflow 3.3 on.
    """

    @classmethod
    def on(cls, engine: Engine) -> EventsDatabase:
        """Make the tables in an empty database; `airflow.settings.Session` is to be its sessions then."""
        from airflow.models import import_all_models
        from airflow.models.base import Base

        import_all_models()
        Base.metadata.create_all(engine)
        return cls(scoped_session(sessionmaker(engine, expire_on_commit=False)))

    def __init__(self, sessions: Callable[[], Session], asset: str = "calls") -> None:
        """Have an asset of that name, and a DAG that is scheduled on it.

        :param sessions: gives the session of the thread that calls it.
        """
        from airflow.listeners.listener import get_listener_manager
        from airflow.models.asset import AssetActive, AssetModel, DagScheduleAssetReference
        from airflow.models.dag import DagModel
        from airflow.models.dagbundle import DagBundleModel

        from airflow_provider_tavus.plugins import emitted

        self.sessions = sessions
        # Whatever is registered twice is there once.
        get_listener_manager().add_listener(emitted)
        with closing(self.sessions()) as session:
            row = AssetModel(name=asset, uri=asset, group="asset", extra={})
            session.add_all([row, DagBundleModel(name="dags")])
            session.flush()
            session.add(AssetActive(name=asset, uri=asset))
            session.add(DagModel(dag_id="each", bundle_name="dags", is_paused=False, fileloc="each.py"))
            session.flush()
            session.add(DagScheduleAssetReference(asset_id=row.id, dag_id="each"))
            session.commit()
            self.asset_id = row.id

    def watch(self, trigger: ConversationEventTrigger, *, began: float | None = None, **progress: Any) -> int:
        """Have a watcher, which has begun at a time unless that is None, and return its number."""
        from airflow.models.asset import AssetWatcherModel
        from airflow.models.trigger import Trigger

        from airflow_provider_tavus.triggers.event_state import Progress

        with closing(self.sessions()) as session:
            row = Trigger(*trigger.serialize())
            session.add(row)
            session.flush()
            session.add(AssetWatcherModel(name=f"watcher-{row.id}", asset_id=self.asset_id, trigger_id=row.id))
            session.commit()
            number = int(row.id)
        if began is not None:
            self.keep(f"tavus/{trigger.name_in_the_state}/claimed", [])
            kept = Progress(began, progress.pop("watched_from", began), progress.pop("open", {}))
            self.keep(f"tavus/{trigger.name_in_the_state}/progress", kept.as_plain())
        return number

    def forget_the_watcher(self, number: int) -> None:
        """Let Airflow drop a watcher, as it does when all DAGs on the asset are paused."""
        from airflow.models.asset import AssetWatcherModel

        with closing(self.sessions()) as session:
            session.execute(delete(AssetWatcherModel).where(AssetWatcherModel.trigger_id == number))
            session.commit()

    def keep(self, key: str, value: Any) -> None:
        """Put something into the state store of the asset, in a transaction of its own."""
        from airflow.state import AssetScope, get_state_backend

        with closing(self.sessions()) as session:
            get_state_backend().set(AssetScope(asset_id=self.asset_id), key, json.dumps(value), session=session)
            session.commit()

    def kept(self) -> dict[str, Any]:
        """Return what is in the state store of the asset."""
        from airflow.models.asset_state_store import AssetStateStoreModel

        with closing(self.sessions()) as session:
            rows = session.execute(select(AssetStateStoreModel.key, AssetStateStoreModel.value)).all()
        return {key: json.loads(value) for key, value in rows}

    def settled(self) -> list[str]:
        """Return who is noted as having had an event."""
        hours = [ids for key, ids in self.kept().items() if key.startswith("tavus/settled/2")]
        return sorted(one for ids in hours for one in ids)

    def payloads(self) -> list[dict[str, Any]]:
        """Return what the stored events say, in the order of their times."""
        from airflow.models.asset import AssetEvent

        with closing(self.sessions()) as session:
            extras = session.scalars(select(AssetEvent.extra).order_by(AssetEvent.timestamp)).all()
        return [extra["payload"] for extra in extras]

    def dates(self) -> dict[str, datetime]:
        """Return of which date the event of each conversation is."""
        from airflow.models.asset import AssetEvent

        with closing(self.sessions()) as session:
            rows = session.execute(select(AssetEvent.extra, AssetEvent.timestamp)).all()
        return {extra["payload"]["conversation_id"]: timestamp for extra, timestamp in rows}

    def with_events(self) -> list[str]:
        """Return who has had an event, as often as there was one."""
        return sorted(payload["conversation_id"] for payload in self.payloads())

    def queued(self) -> list[str]:
        """Return the DAGs that Airflow is about to run."""
        from airflow.models.asset import AssetDagRunQueue

        with closing(self.sessions()) as session:
            return list(session.scalars(select(AssetDagRunQueue.target_dag_id)))
