from __future__ import annotations

import io
import json
from datetime import datetime
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed beside this Airflow")

import pyarrow.parquet as pq

from airflow_provider_tavus.collect import parquet
from airflow_provider_tavus.collect.formats import lines_of_tables
from airflow_provider_tavus.collect.parquet import ParquetWriter
from airflow_provider_tavus.collect.tables import TABLES, TURNS, Table


def conversation(number: int, turns: int = 3) -> bytes:
    transcript = [
        {
            "role": "user",
            "content": f"word {turn} \U0001f600",
            "timestamp": 1786489335.5,
            "duration": turn,
            "mood": {"b": 1},
        }
        for turn in range(turns)
    ]
    ready = {"event_type": "application.transcription_ready", "properties": {"transcript": transcript}}
    created_at = "2026-04-29T03:45:49.000001Z"
    return json.dumps({"conversation_id": f"c{number:05}", "created_at": created_at, "events": [ready]}).encode()


def written(table: Table, *conversations: bytes) -> bytes:
    file = io.BytesIO()
    writer = ParquetWriter(table, file)
    for body in conversations:
        writer.write(lines_of_tables(body)[TABLES.index(table)])
    writer.close()
    return file.getvalue()


def test_the_rows_of_parquet_are_those_of_the_lines() -> None:
    def as_in_parquet(line: dict[str, Any], table: Table) -> dict[str, Any]:
        kinds = {column.name: column.kind for column in table.columns}
        known = {name: value for name, value in line.items() if value is not None}
        return (
            line
            | {name: datetime.fromisoformat(value) for name, value in known.items() if kinds[name] == "time"}
            | {name: json.dumps(value) for name, value in known.items() if kinds[name] == "json"}
        )

    for place, table in enumerate(TABLES):
        lines = [line for number in range(3) for line in lines_of_tables(conversation(number))[place].splitlines()]
        rows = pq.read_table(io.BytesIO(written(table, *map(conversation, range(3))))).to_pylist()
        for row in rows:
            # Spaces are no part of what JSON says.
            row |= {name: json.dumps(json.loads(row[name])) for name in ("extra", "properties") if row.get(name)}
        assert rows == [as_in_parquet(json.loads(line), table) for line in lines]


def test_a_table_without_rows_has_all_its_columns() -> None:
    for table in TABLES:
        found = pq.read_table(io.BytesIO(written(table)))
        assert found.column_names == [column.name for column in table.columns]
        assert found.num_rows == 0


def test_the_same_conversations_give_the_same_bytes() -> None:
    for table in TABLES:
        assert written(table, conversation(1), conversation(2)) == written(table, conversation(1), conversation(2))


def test_rows_leave_the_memory_group_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(lines_of_tables(conversation(0))[TABLES.index(TURNS)])
    monkeypatch.setattr(parquet, "MOST_BYTES", 2 * size)

    file = pq.ParquetFile(io.BytesIO(written(TURNS, *map(conversation, range(5)))))

    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [6, 6, 3]


@pytest.mark.parametrize("duration", [1e305, -1e305, 1.7976931348623157e308, 10**400, "1e305", "nan"])
def test_any_duration_that_makes_a_line_makes_a_row(duration: Any) -> None:
    body = json.loads(conversation(0))
    for turn in body["events"][0]["properties"]["transcript"]:
        turn["duration"] = duration
    for table in TABLES:
        lines = lines_of_tables(json.dumps(body).encode())[TABLES.index(table)].splitlines()
        rows = pq.read_table(io.BytesIO(written(table, json.dumps(body).encode()))).to_pylist()
        assert [row.get("duration") for row in rows] == [json.loads(line).get("duration") for line in lines]


def test_the_file_stays_open() -> None:
    file = io.BytesIO()
    ParquetWriter(TURNS, file).close()

    assert file.write(b"") == 0
