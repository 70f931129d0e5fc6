"""Where a secret is, that should be nowhere: in the files and tables of a real Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real_airflow import RealAirflow


def files_with(directory: Path, text: str) -> list[str]:
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith("airflow.db") and text.encode() in path.read_bytes()
    ]


def tables_with(airflow: RealAirflow, text: str) -> Iterator[str]:
    database = airflow.database
    for table in database.tables():
        for row in database.rows(f'SELECT * FROM "{table}"'):
            if any(text in as_text(value) for value in row):
                yield table


def as_text(value: Any) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value)
