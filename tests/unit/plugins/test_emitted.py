"""The note of an event is in the transaction that stores it, and two that store at once know of each other."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

if not AIRFLOW_V_3_3_PLUS:
    pytest.skip("this Airflow keeps nothing for asset watchers: that came in 3.3", allow_module_level=True)

from airflow import settings
from airflow.models import dag  # noqa: F401 - the queue's table refers to that of the DAGs
from airflow.models.asset import AssetDagRunQueue, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel

from airflow_provider_tavus.plugins.emitted import on_asset_event_emitted

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@pytest.fixture
def engine() -> Engine:
    return create_engine("sqlite://")


def prepare(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> scoped_session[Any]:
    """Let Airflow have a database with one asset in it."""
    for table in (AssetModel.__table__, AssetStateStoreModel.__table__):
        table.create(engine)
    with engine.begin() as connection:
        # Its rows refer to DAGs, and there are none.
        columns = "asset_id INTEGER, target_dag_id VARCHAR(250), created_at TIMESTAMP"
        connection.exec_driver_sql(f"CREATE TABLE {AssetDagRunQueue.__tablename__} ({columns})")
    sessions = scoped_session(sessionmaker(engine))
    monkeypatch.setattr(settings, "Session", sessions)
    with closing(sessions()) as session:
        session.add(AssetModel(name="calls", uri="calls", group="asset"))
        session.commit()
    return sessions


def event(conversation_id: str, *, by_a_trigger: bool = True, **payload: Any) -> Any:
    """What Airflow tells listeners of an event that is being stored."""
    payload = {"conversation_id": conversation_id, "created_at": "2026-04-29T03:47:01Z", "ready_at": None} | payload
    asset = SimpleNamespace(name="calls", uri="calls")
    return SimpleNamespace(asset=asset, extra={"from_trigger": by_a_trigger, "payload": payload})


def kept(sessions: scoped_session[Any]) -> dict[str, Any]:
    with closing(sessions()) as session:
        rows = session.query(AssetStateStoreModel.key, AssetStateStoreModel.value).all()
    return {key: json.loads(value) for key, value in rows}


def test_events_are_noted_by_the_hours_in_which_their_conversations_were_created(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = prepare(engine, monkeypatch)

    for stored in (event("c1"), event("c2", created_at="2026-04-29T04:00:00Z"), event("c3"), event("c1")):
        on_asset_event_emitted(stored)
        sessions().commit()

    assert kept(sessions) == {
        "tavus/settled/last": "c1",
        "tavus/settled/2026-04-29T03": ["c1", "c3"],
        "tavus/settled/2026-04-29T04": ["c2"],
    }


def test_an_event_that_is_not_stored_in_the_end_is_not_noted_either(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = prepare(engine, monkeypatch)

    # Airflow has written the event when it tells listeners of it.
    sessions().add(AssetModel(name="event", uri="event", group="asset"))
    sessions().flush()
    on_asset_event_emitted(event("c1"))
    sessions().rollback()

    assert kept(sessions) == {}


@pytest.mark.parametrize(
    "others",
    [
        event("c1", by_a_trigger=False),
        SimpleNamespace(asset=SimpleNamespace(name="calls", uri="calls"), extra={}),
        SimpleNamespace(
            asset=SimpleNamespace(name="calls", uri="calls"),
            extra={"from_trigger": True, "payload": {"conversation_id": "c1"}},
        ),
    ],
)
def test_events_of_others_are_left_alone(others: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = prepare(engine, monkeypatch)

    on_asset_event_emitted(others)
    sessions().commit()

    assert kept(sessions) == {}


def test_of_two_that_store_at_once_neither_drops_what_the_other_notes(
    postgres: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = prepare(postgres, monkeypatch)
    together = threading.Barrier(4)

    def store(first: int) -> None:
        together.wait()
        for number in range(first, 100, 4):
            on_asset_event_emitted(event(f"c{number}"))
            sessions().commit()
        sessions.remove()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store, range(4)))

    assert sorted(kept(sessions)["tavus/settled/2026-04-29T03"]) == sorted(f"c{number}" for number in range(100))
