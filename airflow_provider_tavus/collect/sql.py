"""
The three tables in a database, through any driver that keeps to PEP 249.

A conversation is written in one transaction: its row is inserted or replaced, which makes another run that writes the
same one wait, and its turns and events are replaced as a whole. So writing again changes nothing, and whoever reads
sees a conversation as it was or as it is.
"""

from __future__ import annotations

import re
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.collect.tables import CONVERSATIONS, EVENTS, TABLES, TURNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_tavus.collect.dialects import Dialect
    from airflow_provider_tavus.collect.rows import Row, Rows
    from airflow_provider_tavus.collect.tables import Column, Table

T = TypeVar("T")

CONVERSATIONS_AT_A_TIME = 100
"""How many are written in one transaction."""
ROWS_AT_A_TIME = 500
"""How many rows one statement inserts: with all columns, they stay below the 32,766 values that SQLite takes."""
CHARACTERS_AT_A_TIME = 1_000_000
"""How much text one statement inserts, unless a single row has more: MariaDB takes 16 MiB."""


class SqlError(Exception):
    """A database refused something. Of what was to be written, there is no word in the message."""


class Database:
    """
    The tables in one database.

    :param connection: to the database; it stays open, and must not commit by itself.
    :param schema: where the tables are; None is the connection's own.
    :param prefix: what the names of the tables begin with.
    :param placeholder: what stands for a value in a statement, if the driver wants another one than most of its kind.
    """

    def __init__(
        self,
        connection: Any,
        dialect: Dialect,
        *,
        schema: str | None = None,
        prefix: str = "tavus_",
        placeholder: str | None = None,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._placeholder = placeholder or dialect.placeholder
        path = [schema] if schema else []
        for name in (*path, prefix):
            if not name.isprintable() or "%" in name:
                raise InvalidArgumentError(f"A table cannot be named {name!r}: leave out percent and control signs.")
        self._names = {table: ".".join(map(dialect.quoted, (*path, f"{prefix}{table.name}"))) for table in TABLES}
        if dialect.name == "mysql":
            _speak_all_of_unicode(connection)

    # Tables

    def prepare(self) -> None:
        """
        Create the tables that are missing, and add the columns that are: those are null in the rows that are there.

        :raises SqlError: if the database does not let us.
        """
        for table in TABLES:
            try:
                self._create_or_extend(table)
            except SqlError:
                # Perhaps somebody else has just done the same.
                self._create_or_extend(table)

    def _create_or_extend(self, table: Table) -> None:
        there = self._columns(table)
        name = self._names[table]
        if there is None:
            columns = ", ".join(map(self._definition, table.columns))
            key = ", ".join(map(self._dialect.quoted, table.key))
            options = self._dialect.table_options
            self._define(f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({key})){options}")
            return
        for column in table.columns:
            if column.name not in there:
                self._define(f"ALTER TABLE {name} ADD COLUMN {self._definition(column)}")

    def _columns(self, table: Table) -> set[str] | None:
        """Return the names of the columns that a table has; None if there is no such table."""
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(f"SELECT * FROM {self._names[table]} WHERE 1 = 0")  # noqa: S608 - quoted names
                names = {str(described[0]).lower() for described in cursor.description}
                # Some drivers do nothing more before a result was fetched, even one without rows.
                cursor.fetchall()
                return names
        except Exception:
            # No two drivers say in the same way that there is no table. If it is another fault, creating it meets
            # the same, and tells of it.
            return None
        finally:
            self._connection.rollback()

    def _definition(self, column: Column) -> str:
        in_key = any(column.name in table.key for table in TABLES)
        kind = self._dialect.key_type if in_key and column.kind == "string" else self._dialect.types[column.kind]
        return f"{self._dialect.quoted(column.name)} {kind}{' NOT NULL' if in_key else ''}"

    def _define(self, statement: str) -> None:
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(statement)
            self._connection.commit()
        except Exception as error:
            with suppress(Exception):
                self._connection.rollback()
            # It tells of tables and rights; no row is in it.
            raise SqlError(f"The database refused to create or extend a table: {error}") from error

    # Rows

    def write(self, conversations: Iterable[Rows]) -> None:
        """
        Insert conversations, or replace what is there of them. Of several with one id, the last counts.

        :raises SqlError: if the database refuses; those before, by hundreds, are written then.
        """
        for some in _batches(conversations):
            by_id = {rows.conversations[0].conversation_id: rows for rows in some}
            # In the order of their ids, in which every run locks them.
            self._transact("write", sorted(by_id), partial(self._replace, by_id))

    def delete(self, conversation_ids: Iterable[str]) -> int:
        """
        Delete conversations from all tables, and return how many there were.

        :raises SqlError: if the database refuses.
        """
        batches = _batches(sorted(set(conversation_ids)))
        return sum(self._transact("delete", ids, self._delete_everywhere) for ids in batches)

    def _transact(self, what: str, ids: list[str], work: Callable[[Any, list[str]], int]) -> int:
        """Do something to some conversations, to all or to none."""
        try:
            with closing(self._connection.cursor()) as cursor:
                for statement in self._dialect.begin:
                    cursor.execute(statement)
                done = work(cursor, ids)
            self._connection.commit()
            return done
        except BaseException as error:
            with suppress(Exception):
                self._connection.rollback()
            if not isinstance(error, Exception):
                raise
            # The driver's own words can quote a row: they go no further, not even as what an error came from.
            fault = _kind_of(error)
        raise SqlError(
            f"The database refused to {what} the conversations {ids[0]} to {ids[-1]}: {fault}. None changed."
        )

    def _replace(self, by_id: dict[str, Rows], cursor: Any, ids: list[str]) -> int:
        self._insert(cursor, CONVERSATIONS, (row for each in ids for row in by_id[each].conversations))
        for table in (TURNS, EVENTS):
            self._delete(cursor, table, ids)
        self._insert(cursor, TURNS, (row for each in ids for row in by_id[each].turns))
        self._insert(cursor, EVENTS, (row for each in ids for row in by_id[each].events))
        return len(ids)

    def _delete_everywhere(self, cursor: Any, ids: list[str]) -> int:
        # Conversations first, on whose rows another run waits.
        found = self._delete(cursor, CONVERSATIONS, ids)
        for table in (TURNS, EVENTS):
            self._delete(cursor, table, ids)
        return found

    def _delete(self, cursor: Any, table: Table, ids: Sequence[str]) -> int:
        key = self._dialect.quoted("conversation_id")
        places = ", ".join([self._placeholder] * len(ids))
        cursor.execute(f"DELETE FROM {self._names[table]} WHERE {key} IN ({places})", ids)  # noqa: S608 - quoted names
        return int(cursor.rowcount)

    def _insert(self, cursor: Any, table: Table, rows: Iterable[Row]) -> None:
        names = [self._dialect.quoted(column.name) for column in table.columns]
        places = f"({', '.join([self._placeholder] * len(names))})"
        start = f"INSERT INTO {self._names[table]} ({', '.join(names)}) VALUES "  # noqa: S608 - quoted names
        end = ""
        if table is CONVERSATIONS:
            key = [self._dialect.quoted(name) for name in table.key]
            end = " " + self._dialect.on_conflict(key, [name for name in names if name not in key])
        for some in _in_statements(self._values(table, row) for row in rows):
            values = [value for row in some for value in row]
            cursor.execute(start + ", ".join([places] * len(some)) + end, values)

    def _values(self, table: Table, row: Row) -> list[Any]:
        return [self._value(column, getattr(row, column.name)) for column in table.columns]

    def _value(self, column: Column, value: Any) -> Any:
        if value is None:
            return None
        if column.kind == "json":
            value = _NUL_IN_JSON.sub(r"\1\\ufffd", self._dialect.json(value))
        elif column.kind == "time":
            return self._dialect.time(value)
        # What no PostgreSQL stores.
        return value.replace("\0", "\ufffd") if isinstance(value, str) else value


_NUL_IN_JSON = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""The escape, and not a backslash that was said before the letters of it."""


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while some := list(islice(waiting, CONVERSATIONS_AT_A_TIME)):
        yield some


def _in_statements(rows: Iterable[list[Any]]) -> Iterator[list[list[Any]]]:
    """Group rows into what one statement takes."""
    some: list[list[Any]] = []
    characters = 0
    for row in rows:
        length = sum(len(value) for value in row if isinstance(value, str))
        if some and (len(some) == ROWS_AT_A_TIME or characters + length > CHARACTERS_AT_A_TIME):
            yield some
            some, characters = [], 0
        some.append(row)
        characters += length
    if some:
        yield some


def _kind_of(error: Exception) -> str:
    """Tell a driver's error by its class and its code."""
    code = (
        getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or getattr(error, "sqlite_errorname", None)
    )
    if code is None and error.args and isinstance(error.args[0], int):
        code = error.args[0]
    return f"{type(error).__name__} ({code})" if code else type(error).__name__


def _speak_all_of_unicode(connection: Any) -> None:
    """Have a driver for MySQL send what lies beyond the first plane of Unicode, whatever it was told to speak."""
    for change in ("set_character_set", "set_charset_collation"):
        if hasattr(connection, change):
            getattr(connection, change)("utf8mb4")
            return
