"""In what PostgreSQL, MySQL and SQLite differ, as far as the three tables go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.api.json_text import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_tavus.collect.tables import Kind


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """
    How one database wants to be spoken to.

    :param placeholder: what stands for a value in a statement.
    :param quote: what an identifier is quoted with.
    :param types: the type of a column, by its kind.
    :param key_type: that of a string that is a part of the key.
    :param table_options: what follows the columns of a new table.
    :param begin: statements that begin a transaction in which runs that overlap wait for each other.
    :param on_conflict: the end of an INSERT that is to replace a row, given the key and the other columns, quoted.
    :param time: a moment as the driver takes it.
    :param json: a value as the text of a JSON column.
    """

    name: str
    placeholder: str
    quote: str
    types: Mapping[Kind, str]
    key_type: str
    table_options: str = ""
    begin: tuple[str, ...] = ()
    on_conflict: Callable[[Sequence[str], Sequence[str]], str]
    time: Callable[[datetime], Any]
    json: Callable[[Any], str] = lambda value: to_json(value).decode()

    def quoted(self, name: str) -> str:
        """Return an identifier, quoted."""
        return f"{self.quote}{name.replace(self.quote, 2 * self.quote)}{self.quote}"


def _excluded(key: Sequence[str], others: Sequence[str]) -> str:
    replaced = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {replaced}"


def _duplicate(_: Sequence[str], others: Sequence[str]) -> str:
    return "ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in others)


DEEPEST_OF_MARIADB = 32
"""How deep JSON may be nested for MariaDB to take it for JSON. (MySQL takes 100.)"""


def _json_of_mysql(value: Any) -> str:
    text = to_json(value).decode()
    if text.count("[") + text.count("{") >= DEEPEST_OF_MARIADB and _depth(value) >= DEEPEST_OF_MARIADB:
        # One value like that is not to keep a whole batch out: it is stored as a string that holds the JSON.
        return to_json(text).decode()
    return text


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 1


POSTGRESQL = Dialect(
    name="postgresql",
    placeholder="%s",
    quote='"',
    types={
        "string": "TEXT",
        "integer": "BIGINT",
        "number": "DOUBLE PRECISION",
        "time": "TIMESTAMP WITH TIME ZONE",
        "json": "JSONB",
    },
    key_type="TEXT",
    # Stricter ones do not wait for another run, but fail.
    begin=("SET TRANSACTION ISOLATION LEVEL READ COMMITTED",),
    on_conflict=_excluded,
    time=lambda moment: moment,
)
MYSQL = Dialect(
    name="mysql",
    placeholder="%s",
    quote="`",
    types={
        "string": "LONGTEXT",
        "integer": "BIGINT",
        "number": "DOUBLE",
        "time": "DATETIME(6)",
        "json": "JSON",
    },
    # Ids differ where a letter's case does; a key of an unlimited text is not to be had.
    key_type="VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    table_options=" ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4",
    # Without it, two runs that write different conversations lock the gaps between each other's rows, and one dies.
    begin=("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"),
    on_conflict=_duplicate,
    # Its DATETIME knows no zone, and takes no value that has one: it is UTC.
    time=lambda moment: moment.replace(tzinfo=None),
    json=_json_of_mysql,
)
SQLITE = Dialect(
    name="sqlite",
    placeholder="?",
    quote='"',
    types={"string": "TEXT", "integer": "INTEGER", "number": "REAL", "time": "TEXT", "json": "TEXT"},
    key_type="TEXT",
    # Whoever asks for the lock only at the first write can be refused it, however long he would have waited.
    begin=("BEGIN IMMEDIATE",),
    on_conflict=_excluded,
    time=lambda moment: moment.isoformat().replace("+00:00", "Z"),
)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (POSTGRESQL, MYSQL, SQLITE)}
