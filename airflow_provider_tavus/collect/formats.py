"""From raw objects to the files of the tables."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.collect.rows import rows_of
from airflow_provider_tavus.collect.tables import by_table, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_tavus.collect.tables import Table


class RowWriter(Protocol):
    """Writes one table to one file."""

    def write(self, lines: bytes) -> None:
        """Add rows, as JSON Lines."""

    def close(self) -> None:
        """Write what is left; the file itself is closed by whoever opened it."""


class JsonLinesWriter:
    """
    Writes a table as JSON Lines.

    :param file: where to.
    """

    def __init__(self, table: Table, file: IO[bytes]) -> None:
        self._file = file

    def write(self, lines: bytes) -> None:
        """Add rows, as JSON Lines."""
        self._file.write(lines)

    def close(self) -> None:
        """Write what is left: nothing."""


WRITERS: Mapping[str, Callable[[Table, IO[bytes]], RowWriter]] = {"jsonl": JsonLinesWriter}
"""By the name of a format, which is also how the names of its files end."""


def lines_of(body: bytes) -> list[bytes]:
    """Return the rows that a raw object becomes, as JSON Lines, table by table."""
    conversation = Conversation.from_json(read_json(body))
    return [json_lines(rows) for _, rows in by_table(rows_of(conversation))]
