"""Databases for what stands in Airflow's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow_database import postgres_if_there
from events_database import EventsDatabase
from sqlalchemy import create_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database: SQLite, or what a test asks for with a parameter."""
    if not AIRFLOW_V_3_3_PLUS:
        pytest.skip("this Airflow keeps nothing for asset watchers: that came in 3.3")
    if getattr(request, "param", "sqlite") == "postgres":
        yield request.getfixturevalue("postgres")
        return
    engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}", connect_args={"timeout": 60})
    yield engine
    engine.dispose()


@pytest.fixture
def postgres() -> Iterator[Engine]:
    """An empty database of a PostgreSQL."""
    with postgres_if_there() as database:
        if database is None:
            pytest.skip("no PostgreSQL here, or no driver for it")
        engine = create_engine(database.url, pool_size=10)
        yield engine
        engine.dispose()


@pytest.fixture
def events_database(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> EventsDatabase:
    """What Airflow has in its database, with our listener at work."""
    from airflow import settings

    database = EventsDatabase.on(engine)
    monkeypatch.setattr(settings, "Session", database.sessions)
    return database
