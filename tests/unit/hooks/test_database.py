"""The tables behind Airflow connections, through the hooks that Airflow's users have."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from database_servers import PACKAGES, postgresql, program

from airflow_provider_tavus.api.errors import ConfigurationError
from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.collect.rows import rows_of
from airflow_provider_tavus.collect.sql import SqlError
from airflow_provider_tavus.hooks.database import open_database

if TYPE_CHECKING:
    from pathlib import Path

ROWS = rows_of(
    Conversation.from_json(
        {
            "conversation_id": "c1",
            "events": [
                {
                    "event_type": "application.transcription_ready",
                    "properties": {"transcript": [{"role": "user", "content": "Hi \U0001f600"}]},
                }
            ],
        }
    )
)


def connection(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ARCHIVE", json.dumps(fields))


@pytest.fixture
def sqlite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    pytest.importorskip("airflow.providers.sqlite.hooks.sqlite", reason="the provider sqlite is not installed")
    path = tmp_path / "archive.db"
    connection(monkeypatch, conn_type="sqlite", host=str(path))
    return path


def test_a_connection_to_sqlite(sqlite: Path) -> None:
    for _ in range(2):
        with open_database("archive") as database:
            database.write([ROWS])

    with closing(sqlite3.connect(sqlite)) as file:
        assert file.execute("SELECT content FROM tavus_turns").fetchall() == [("Hi \U0001f600",)]


def test_the_names_of_the_tables_are_the_users_choice(sqlite: Path) -> None:
    with open_database("archive", schema="main", prefix="calls_") as database:
        database.write([ROWS])

    with closing(sqlite3.connect(sqlite)) as file:
        assert file.execute("SELECT COUNT(*) FROM main.calls_conversations").fetchall() == [(1,)]


def test_a_connection_to_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("airflow.providers.postgres.hooks.postgres", reason="the provider postgres is not installed")
    psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    if program("postgres") is None:
        pytest.skip(f"no postgres on this machine: install Debian's {PACKAGES['postgres']} (`make databases`)")

    def connect(server: Any) -> Any:
        return psycopg2.connect(host="127.0.0.1", port=server.port, user=server.user, dbname=server.database)

    with postgresql(lambda server: connect(server).close()) as server:
        fields = {"host": "127.0.0.1", "port": server.port, "login": server.user, "schema": server.database}
        connection(monkeypatch, conn_type="postgres", **fields)
        for _ in range(2):
            with open_database("archive", schema="public") as database:
                database.write([ROWS])
        with closing(connect(server)) as own, closing(own.cursor()) as cursor:
            cursor.execute("SELECT content FROM public.tavus_turns")
            assert cursor.fetchall() == [("Hi \U0001f600",)]


def test_a_connection_to_something_else_is_refused_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, conn_type="http", host="example.com", password="canary")

    with (
        pytest.raises(ConfigurationError, match="archive: its type is 'http', and has to be one of postgres") as raised,
        open_database("archive"),
    ):
        pass

    assert "canary" not in str(raised.value)


def test_what_the_database_does_not_let_us_do_is_told(sqlite: Path) -> None:
    with pytest.raises(SqlError, match="nowhere"), open_database("archive", schema="nowhere"):
        pass
