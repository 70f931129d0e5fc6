"""The tables in real databases: SQLite, PostgreSQL and MariaDB, each started here."""

from __future__ import annotations

import importlib
import json
import sqlite3
import threading
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from database_servers import PACKAGES, Server, mariadb, postgresql, program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.collect.dialects import DIALECTS, Dialect
from airflow_provider_tavus.collect.rows import Rows, rows_of
from airflow_provider_tavus.collect.sql import CONVERSATIONS_AT_A_TIME, Database, SqlError
from airflow_provider_tavus.collect.tables import TABLES
from airflow_provider_tavus.conversations.secrets import LEFT_OUT_UNLESS_NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = "my canary sang at dawn"


@dataclass(frozen=True)
class Kind:
    """One of the databases, and how to connect to it."""

    dialect: Dialect
    connect: Callable[[], Any]


def connect_to_postgresql(server: Server) -> Any:
    psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed beside this Airflow")
    extras = importlib.import_module("psycopg2.extras")
    connection = psycopg2.connect(host="127.0.0.1", port=server.port, user=server.user, dbname=server.database)
    # JSON as its text, as the other drivers give it.
    extras.register_default_jsonb(connection, loads=str)
    return connection


def connect_to_mariadb(server: Server, database: str | None = None) -> Any:
    pymysql = pytest.importorskip("pymysql", reason="pymysql is not installed beside this Airflow")
    # Spoken as old drivers do unless they are told otherwise.
    return pymysql.connect(host="127.0.0.1", port=server.port, user=server.user, database=database, charset="latin1")


def needs(*names: str) -> None:
    for name in names:
        if program(name) is None:
            pytest.skip(f"no {name} on this machine: install Debian's {PACKAGES[name]} (`make databases`)")


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    with ExitStack() as running:
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("sqlite") / "archive.db"
            yield Kind(DIALECTS["sqlite"], lambda: sqlite3.connect(path, timeout=60))
        elif request.param == "postgresql":
            needs("postgres")
            pytest.importorskip("psycopg2", reason="psycopg2 is not installed beside this Airflow")
            server = running.enter_context(postgresql(lambda server: connect_to_postgresql(server).close()))
            yield Kind(DIALECTS["postgresql"], lambda: connect_to_postgresql(server))
        else:
            needs("mariadbd", "my_print_defaults")
            pytest.importorskip("pymysql", reason="pymysql is not installed beside this Airflow")
            server = running.enter_context(mariadb(lambda server: connect_to_mariadb(server).close()))
            with closing(connect_to_mariadb(server)) as connection, closing(connection.cursor()) as cursor:
                # A character set in which not all of Unicode can be said, for all that does not ask for another.
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS {server.database} CHARACTER SET latin1")
            yield Kind(DIALECTS["mysql"], lambda: connect_to_mariadb(server, server.database))


@pytest.fixture
def connection(kind: Kind) -> Iterator[Any]:
    with closing(kind.connect()) as connection:
        yield connection


@pytest.fixture
def prefix(kind: Kind, connection: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix of table names that is this test's own."""
    prefix = "odd \"na`me' "
    yield prefix
    connection.rollback()
    with closing(connection.cursor()) as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS {kind.dialect.quoted(prefix + table.name)}")
    connection.commit()


@pytest.fixture
def database(kind: Kind, connection: Any, prefix: str) -> Database:
    database = Database(connection, kind.dialect, prefix=prefix)
    database.prepare()
    return database


def conversation(conversation_id: str = "c1", *turns: Any, events: Any = (), **others: Any) -> Rows:
    ready = {"event_type": "application.transcription_ready", "properties": {"transcript": list(turns)}}
    body = {"conversation_id": conversation_id, "status": "ended", "events": [ready, *events]} | others
    return rows_of(Conversation.from_json(body))


def found(kind: Kind, connection: Any, prefix: str, table: str) -> list[dict[str, Any]]:
    """The rows of a table in the order of their key, with times and JSON read."""
    (described,) = [each for each in TABLES if each.name == table]
    name, key = kind.dialect.quoted(prefix + table), ", ".join(map(kind.dialect.quoted, described.key))
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM {name} ORDER BY {key}")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    connection.rollback()
    kinds = {column.name: column.kind for column in described.columns}
    return [{name: _read(kinds.get(name), value) for name, value in row.items()} for row in rows]


def _read(kind: str | None, value: Any) -> Any:
    if kind == "time" and value is not None:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return json.loads(value) if kind == "json" and isinstance(value, str) else value


def as_written(rows: Rows, table: str) -> list[dict[str, Any]]:
    return [{name: getattr(row, name) for name in row.__struct_fields__} for row in getattr(rows, table)]


WHOLE = conversation(
    "c1",
    {"role": "user", "content": "It's 100 % \\ \"odd\" 'text' \U0001f600 %s ? ;--", "timestamp": 1786489335.123456},
    {
        "role": "assistant",
        "content": "Yes.",
        "seconds_from_start": 1.5,
        "duration": 2,
        "tool_calls": [{"a": ["\U0001f600"]}],
    },
    created_at="2026-04-29T03:45:49.000001Z",
    document_ids=["d1", {"deep": None}],
    events=[{"event_type": "system.shutdown", "timestamp": "2026-04-29T05:47:01+02:00", "properties": {"x": 1.5}}],
)


def test_what_is_written_is_there(kind: Kind, connection: Any, database: Database, prefix: str) -> None:
    database.write([WHOLE])

    for table in TABLES:
        assert found(kind, connection, prefix, table.name) == as_written(WHOLE, table.name)


def test_writing_again_changes_nothing(kind: Kind, connection: Any, database: Database, prefix: str) -> None:
    database.write([WHOLE])
    database.write([WHOLE, WHOLE])

    for table in TABLES:
        assert found(kind, connection, prefix, table.name) == as_written(WHOLE, table.name)


def test_what_changed_is_replaced_and_what_is_gone_goes(
    kind: Kind, connection: Any, database: Database, prefix: str
) -> None:
    other = conversation("c2", {"role": "user", "content": "Other"})
    later = conversation("c1", {"role": "user", "content": "Only this"}, status="deleted", events=[])
    database.write([WHOLE, other])
    database.write([later])

    assert [row["content"] for row in found(kind, connection, prefix, "turns")] == ["Only this", "Other"]
    assert [row["status"] for row in found(kind, connection, prefix, "conversations")] == ["deleted", "ended"]
    assert len(found(kind, connection, prefix, "events")) == 2


def test_of_two_with_one_id_the_last_counts(kind: Kind, connection: Any, database: Database, prefix: str) -> None:
    database.write([conversation(status="first"), conversation(status="last")])

    assert [row["status"] for row in found(kind, connection, prefix, "conversations")] == ["last"]


def test_a_users_own_column_is_left_alone(kind: Kind, connection: Any, database: Database, prefix: str) -> None:
    name = kind.dialect.quoted(prefix + "conversations")
    database.write([WHOLE])
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"ALTER TABLE {name} ADD COLUMN note INTEGER")
        cursor.execute(f"UPDATE {name} SET note = 7")
    connection.commit()
    database.prepare()
    database.write([WHOLE])

    assert [row["note"] for row in found(kind, connection, prefix, "conversations")] == [7]


def test_columns_that_are_newer_than_a_table_are_added(kind: Kind, connection: Any, prefix: str) -> None:
    name, key = kind.dialect.quoted(prefix + "conversations"), kind.dialect.quoted("conversation_id")
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            f"CREATE TABLE {name} ({key} {kind.dialect.key_type} PRIMARY KEY, status {kind.dialect.types['string']})"
        )
        cursor.execute(f"INSERT INTO {name} VALUES ('c0', 'ended')")
    connection.commit()
    database = Database(connection, kind.dialect, prefix=prefix)
    database.prepare()
    database.prepare()
    database.write([WHOLE])

    old, new = found(kind, connection, prefix, "conversations")
    assert (old["conversation_id"], old["status"], old["extra"], old["turns"]) == ("c0", "ended", None, None)
    assert new == as_written(WHOLE, "conversations")[0]


def test_more_than_one_batch_and_more_than_one_statement(
    kind: Kind, connection: Any, database: Database, prefix: str
) -> None:
    many = CONVERSATIONS_AT_A_TIME + 20
    turns = [{"role": "user", "content": f"{number} " + "long " * 200} for number in range(30)]
    database.write(conversation(f"c{number:04}", *turns) for number in range(many))

    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT COUNT(*), COUNT(DISTINCT conversation_id) FROM {kind.dialect.quoted(prefix + 'turns')}")
        assert tuple(cursor.fetchone()) == (30 * many, many)


def test_deleting(kind: Kind, connection: Any, database: Database, prefix: str) -> None:
    database.write([WHOLE, conversation("c2", {"role": "user"})])

    assert database.delete(["c1", "never there"]) == 1
    for table in TABLES:
        assert {row["conversation_id"] for row in found(kind, connection, prefix, table.name)} == {"c2"}


def test_ids_that_differ_in_the_case_of_a_letter_are_two(
    kind: Kind, connection: Any, database: Database, prefix: str
) -> None:
    database.write([conversation("Ca"), conversation("cA")])

    assert len(found(kind, connection, prefix, "conversations")) == 2


def test_a_batch_that_is_refused_leaves_what_was_there_and_is_told_without_its_words(
    kind: Kind, connection: Any, database: Database, prefix: str
) -> None:
    database.write([WHOLE])
    name = kind.dialect.quoted(prefix + "events")
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"DROP TABLE {name}")
    connection.commit()

    with pytest.raises(SqlError, match="refused to write the conversations c1 to c1: ") as raised:
        database.write([conversation("c1", {"role": "user", "content": CANARY}, status=CANARY)])

    assert CANARY not in str(raised.value)
    assert raised.value.__context__ is None
    assert found(kind, connection, prefix, "turns") == as_written(WHOLE, "turns")
    assert found(kind, connection, prefix, "conversations") == as_written(WHOLE, "conversations")


def test_what_stops_a_task_in_the_middle_leaves_what_was_there(
    kind: Kind, connection: Any, database: Database, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.write([WHOLE])
    monkeypatch.setattr(database, "_delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        database.write([conversation("c1", status="changed")])

    assert found(kind, connection, prefix, "conversations") == as_written(WHOLE, "conversations")


def test_runs_that_overlap_do_not_meet_in_a_half_written_conversation(
    kind: Kind, database: Database, prefix: str
) -> None:
    """Many writers at once, of the same conversations and of others, in opposite orders."""
    faults: list[Exception] = []

    def write(writer: int) -> None:
        try:
            with closing(kind.connect()) as own:
                for round_ in range(5):
                    turns = [{"role": "user", "content": f"{writer}-{round_}"}] * (writer + 1)
                    ids = [f"shared{number}" for number in range(5)] + [f"own{writer}-{round_}-{n}" for n in range(5)]
                    ordered = ids if writer % 2 else ids[::-1]
                    Database(own, kind.dialect, prefix=prefix).write([conversation(each, *turns) for each in ordered])
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    with closing(kind.connect()) as own:
        for number in range(5):
            contents = [
                row["content"]
                for row in found(kind, own, prefix, "turns")
                if row["conversation_id"] == f"shared{number}"
            ]
            assert len(set(contents)) == 1
            assert len(contents) == int(contents[0][0]) + 1


def test_runs_that_write_different_conversations_do_not_lock_each_other_out(
    kind: Kind, connection: Any, database: Database, prefix: str
) -> None:
    """Both have deleted what there was before either inserts: the gaps that they leave are next to each other."""
    both_have_deleted = threading.Barrier(2)
    faults: list[Exception] = []

    class Slow(Database):
        def _delete(self, cursor: Any, table: Any, ids: Any) -> int:
            found = super()._delete(cursor, table, ids)
            if table.name == "events":
                # Where one has to wait for the other's end, as in SQLite, they never both get here.
                with suppress(threading.BrokenBarrierError):
                    both_have_deleted.wait(1)
            return found

    def write(conversation_id: str) -> None:
        try:
            with closing(kind.connect()) as own:
                Slow(own, kind.dialect, prefix=prefix).write([conversation(conversation_id, {"role": "user"})])
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(conversation_id,)) for conversation_id in ("c1", "c2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert [row["conversation_id"] for row in found(kind, connection, prefix, "turns")] == ["c1", "c2"]


def test_two_that_create_the_tables_at_once_both_can(kind: Kind, connection: Any, prefix: str) -> None:
    faults: list[Exception] = []

    def prepare() -> None:
        try:
            with closing(kind.connect()) as own:
                Database(own, kind.dialect, prefix=prefix).prepare()
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert found(kind, connection, prefix, "turns") == []


@pytest.mark.parametrize("name", ["per%cent", "new\nline", "nul\0"])
def test_a_name_that_no_driver_takes_is_refused(kind: Kind, connection: Any, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be named"):
        Database(connection, kind.dialect, prefix=name)


def test_a_schema_that_is_not_there_is_told_of(kind: Kind, connection: Any) -> None:
    with pytest.raises(SqlError, match=r"refused to create or extend a table: .*nowhere"):
        Database(connection, kind.dialect, schema="nowhere").prepare()


texts = st.text() | st.sampled_from(
    ["\0", "a\0b", "\\u0000", "\\\\u0000\0", "\U0001f600", "%s", "?", "'; --", "\\", "\u2028"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


# What opens a room is left out of the tables.
names = texts.filter(lambda name: name not in LEFT_OUT_UNLESS_NAMED | {"webhook_url"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(texts, st.dictionaries(names, json_values, max_size=3), json_values)
def test_whatever_was_said_can_be_stored(
    kind: Kind, connection: Any, database: Database, prefix: str, content: str, properties: Any, tool_calls: Any
) -> None:
    rows = conversation(
        "c1", {"role": "user", "content": content, "tool_calls": tool_calls}, events=[{"properties": properties}]
    )

    database.write([rows])

    (turn,) = found(kind, connection, prefix, "turns")
    event = found(kind, connection, prefix, "events")[1]
    assert [turn["content"], turn["tool_calls"], event["properties"]] == [
        without_nul(value) for value in (content, tool_calls, properties)
    ]


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return {without_nul(name): without_nul(item) for name, item in value.items()} if isinstance(value, dict) else value


def test_json_that_is_nested_very_deeply_keeps_nothing_else_out(
    kind: Kind, connection: Any, database: Database, prefix: str
) -> None:
    deep: Any = CANARY
    for _ in range(150):
        deep = [deep]
    database.write([conversation("c1", {"role": "user", "content": "Hi", "tool_calls": deep})])

    (turn,) = found(kind, connection, prefix, "turns")
    assert turn["content"] == "Hi"
    assert CANARY in str(turn["tool_calls"])
