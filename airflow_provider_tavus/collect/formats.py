"""From a raw object to its lines of each table and its renderings, and from lines to files, by their endings."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.collect.rows import rows_of, turn_rows
from airflow_provider_tavus.collect.sent import SentConversation
from airflow_provider_tavus.collect.tables import TABLES, by_table, json_lines
from airflow_provider_tavus.conversations.renderings.formats import RENDERINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_provider_tavus.collect.tables import Table
    from airflow_provider_tavus.conversations.renderings.lines import Style


class RowWriter(Protocol):
    """Writes one table to one open file."""

    def write(self, lines: bytes) -> None:
        """Add rows, as JSON Lines."""

    def close(self) -> None:
        """Write what is left; the file itself is left open."""


def lines_of_tables(body: bytes) -> tuple[bytes, ...]:
    """
    Return a conversation's lines of each of :data:`.tables.TABLES`.

    :param body: the conversation as it was read with ``verbose=true``, in JSON.
    :raises ValueError: if it is no JSON object with a ``conversation_id``.
    """
    return tuple(json_lines(rows) for _, rows in by_table(rows_of(SentConversation.from_json(read_json(body)))))


def rendered(body: bytes, *, endings: Collection[str], style: Style) -> dict[str, bytes]:
    """
    Return a conversation's renderings, in UTF-8, by the ending of their files.

    :param body: as for :func:`lines_of_tables`.
    :param endings: keys of :data:`.renderings.formats.RENDERINGS`.
    :raises ValueError: if it is no JSON object with a ``conversation_id``.
    """
    conversation = SentConversation.from_json(read_json(body))
    turns = turn_rows(conversation) or []
    return {ending: RENDERINGS[ending](conversation, turns, style).encode() for ending in endings}


class JsonLinesWriter:
    """Writes one table to one open file as JSON Lines."""

    def __init__(self, table: Table, file: IO[bytes]) -> None:
        self._file = file

    def write(self, lines: bytes) -> None:
        """Add rows, as JSON Lines."""
        self._file.write(lines)

    def close(self) -> None:
        """Leave the file as it is: every line is there."""


def _parquet(table: Table, file: IO[bytes]) -> RowWriter:
    # pyarrow is an extra, and takes a while to import.
    from airflow_provider_tavus.collect.parquet import ParquetWriter

    return ParquetWriter(table, file)


FORMATS: Mapping[str, Callable[[Table, IO[bytes]], RowWriter]] = {"jsonl": JsonLinesWriter, "parquet": _parquet}
"""What writes a table, by the ending of its file."""
TABLE_BY_NAME: Mapping[str, Table] = {table.name: table for table in TABLES}
