"""
The tables as Parquet, written from the lines that :mod:`.tables` makes.

The same lines in the same order give the same bytes, with one version of pyarrow (which writes its version into the
file). No more than one row group is ever held in memory.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_tavus.api.json_text import to_json

if TYPE_CHECKING:
    from airflow_provider_tavus.collect.rows import Row
    from airflow_provider_tavus.collect.tables import Column, Kind, Table

MOST_BYTES = 8 * 1024 * 1024
"""A row group is written when its lines have grown to this: its memory is a few times as much."""
MOST_ROWS = 131_072
"""… or when it has so many rows."""

TYPES: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "time": pa.timestamp("us", tz="UTC"),
    "json": pa.string(),
}
FEW_DIFFERENT_VALUES = frozenset({"conversation_id", "role", "status", "event_type", "face_id", "pal_id"})
"""Columns in which values repeat, so that a dictionary of them pays."""


class ParquetWriter:
    """
    Writes one table to one open file.

    :param file: is written to from its present place on, and left open.
    """

    def __init__(self, table: Table, file: IO[bytes]) -> None:
        self._columns = table.columns
        self._read = msgspec.json.Decoder(table.row).decode_lines
        self._schema = pa.schema([(column.name, TYPES[column.kind]) for column in self._columns])
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            use_dictionary=[column.name for column in self._columns if column.name in FEW_DIFFERENT_VALUES],
        )
        self._rows: list[Row] = []
        self._bytes = 0

    def write(self, lines: bytes) -> None:
        """Add rows, as JSON Lines."""
        self._rows += self._read(lines)
        self._bytes += len(lines)
        if self._bytes >= MOST_BYTES or len(self._rows) >= MOST_ROWS:
            self._write_row_group()

    def close(self) -> None:
        """Write what is left, and the end of the file, which has no rows if none were added."""
        self._write_row_group()
        self._writer.close()

    def _write_row_group(self) -> None:
        if self._rows:
            arrays = [pa.array(_values(column, self._rows), TYPES[column.kind]) for column in self._columns]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=len(self._rows))
        self._rows, self._bytes = [], 0


def _values(column: Column, rows: list[Row]) -> list[Any]:
    values = [getattr(row, column.name) for row in rows]
    if column.kind == "json":
        return [None if value is None else to_json(value).decode() for value in values]
    return values
