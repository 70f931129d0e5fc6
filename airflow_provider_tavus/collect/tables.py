"""
The three tables of an archive, ``conversations``, ``turns`` and ``events``: their columns, and their JSON Lines.

From a conversation, read with ``verbose=true``, to the lines of each table::

    for table, rows in by_table(rows_of(conversation)):
        files[table.name].write(json_lines(rows))

Each line has all columns, in their order. The same conversation gives the same bytes; the same conversations do if
they are written in the same order, for which their ids are meant. What was written can be read back with
:func:`read_json_lines`, for example to write it as Parquet (:mod:`.parquet`) or into a database (:mod:`.sql`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from airflow_provider_tavus.collect.rows import ConversationRow, EventRow, Row, Rows, TurnRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Kind = Literal["string", "integer", "number", "time", "json"]

KINDS: dict[Any, Kind] = {str: "string", int: "integer", float: "number", datetime: "time", Any: "json"}


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of a table.

    :param kind: ``string``, ``integer``, ``number`` (double precision), ``time`` (UTC, in microseconds) or ``json``.
    """

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Table:
    """
    One of the tables.

    :param row: the class of its rows, whose fields are its columns.
    :param key: the columns that tell one row from all others.
    """

    name: str
    row: type[Row]
    key: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in their order."""
        types = get_type_hints(self.row)
        return tuple(Column(name, KINDS[_without_null(types[name])]) for name in self.row.__struct_fields__)


def _without_null(annotation: Any) -> Any:
    if annotation is Any:
        return Any
    (known, *_) = [choice for choice in get_args(annotation) or (annotation,) if choice is not type(None)]
    return get_args(known)[0] if get_origin(known) is Annotated else known


CONVERSATIONS = Table("conversations", ConversationRow, key=("conversation_id",))
TURNS = Table("turns", TurnRow, key=("conversation_id", "turn_index"))
EVENTS = Table("events", EventRow, key=("conversation_id", "event_index"))
TABLES = (CONVERSATIONS, TURNS, EVENTS)


def by_table(rows: Rows) -> tuple[tuple[Table, Sequence[Row]], ...]:
    """Return the rows of a conversation beside the tables that they belong to."""
    return (CONVERSATIONS, rows.conversations), (TURNS, rows.turns), (EVENTS, rows.events)


def json_lines(rows: Iterable[Row]) -> bytes:
    """Return rows as JSON Lines: UTF-8, a line feed after each, times in ISO 8601, JSON columns as they are."""
    return _ENCODER.encode_lines(rows)


def read_json_lines(table: Table, lines: Iterable[bytes]) -> Iterator[Row]:
    """
    Yield the rows of a table that were written as JSON Lines, such as those of an open file, one at a time.

    A column that the lines lack, because it is newer than they are, is null.

    :raises msgspec.MsgspecError: if a line is no row of this table.
    """
    decode = msgspec.json.Decoder(table.row).decode
    return map(decode, lines)


def rows_of_lines(lines: Sequence[bytes]) -> Rows:
    """
    Return the rows of one conversation.

    :param lines: its JSON Lines in each of :data:`TABLES`.
    :raises msgspec.MsgspecError: if they are none.
    """
    conversations, turns, events = lines
    return Rows(
        msgspec.json.Decoder(ConversationRow).decode_lines(conversations),
        msgspec.json.Decoder(TurnRow).decode_lines(turns),
        msgspec.json.Decoder(EventRow).decode_lines(events),
    )


_ENCODER = msgspec.json.Encoder(order="deterministic")
