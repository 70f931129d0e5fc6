"""What the guide to the tables tells, held against what they are."""

from __future__ import annotations

import inspect
import io
import json
import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from snippets import FENCED, PROJECT

from airflow_provider_tavus.collect.dialects import DIALECTS
from airflow_provider_tavus.collect.tables import KINDS, TABLES, Table
from airflow_provider_tavus.conversations.privacy import Privacy
from airflow_provider_tavus.conversations.renderings.formats import RENDERINGS
from airflow_provider_tavus.conversations.renderings.lines import Style
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (PROJECT / "docs" / "tables.md").read_text()
BLOCKS = [(found["language"], found["text"]) for found in FENCED.finditer(PAGE)]
SCRIPTS = [
    (text, following[1] if following[0] == "text" else "")
    for (language, text), following in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if language == "python"
]


def tables() -> list[list[list[str]]]:
    """The tables of the page, each a list of rows."""
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
        for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    ]


@pytest.mark.parametrize(("script", "printed"), SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_prints_what_stands_below_it(
    script: str, printed: str, tavus_box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "open_database" in script:
        pytest.importorskip("airflow.providers.sqlite.hooks.sqlite", reason="the provider sqlite is not installed")
    archive = {"conn_type": "sqlite", "host": str(tmp_path / "archive.db")}
    monkeypatch.setenv("AIRFLOW_CONN_ARCHIVE", json.dumps(archive))
    created_at = datetime(2026, 11, 23, 7, 52, 12, tzinfo=UTC).timestamp()
    tavus_box.add(Script.finished(), conversation_id="c123456", created_at=created_at)

    # Not all of the standard output: that of an old Airflow has logs.
    out = io.StringIO()
    exec(compile(script, "tables.md", "exec"), {"__name__": "tables", "print": partial(print, file=out)})

    assert out.getvalue().strip() == printed.strip()


def test_every_block_is_a_script_or_what_it_prints() -> None:
    assert [language for language, _ in BLOCKS if language != "text"] == ["python"] * len(SCRIPTS)
    assert sum(bool(printed) for _, printed in SCRIPTS) == sum(language == "text" for language, _ in BLOCKS)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_columns_are_those_of_the_table_in_their_order(table: Table) -> None:
    (_, told) = PAGE.split(f"\n### {table.name}\n")
    rows = [line.strip("|").split("|") for line in told.split("\n#")[0].splitlines() if line.startswith("| `")]

    assert [(row[0].strip(" `"), row[1].strip()) for row in rows] == [(each.name, each.kind) for each in table.columns]


def test_the_types_are_those_of_the_files_and_databases() -> None:
    (told,) = [table for table in tables() if {row[0] for row in table} == set(KINDS.values())]

    for kind, _, parquet, *databases in told:
        for cell, dialect in zip(databases, ("postgresql", "mysql", "sqlite"), strict=True):
            assert f"`{DIALECTS[dialect].types[kind]}`" in cell  # type: ignore[index]
        types: Any = pytest.importorskip("airflow_provider_tavus.collect.parquet", reason="pyarrow is not here")
        assert f"`{types.TYPES[kind]}`" in parquet


def test_the_arguments_of_privacy_are_all_told_with_their_defaults() -> None:
    (told,) = [table for table in tables() if any(row[0] == "`redact`" for row in table)]

    assert {row[0].strip("`"): row[2].strip("`") for row in told} == {
        name: str(parameter.default) for name, parameter in inspect.signature(Privacy).parameters.items()
    }


def test_the_renderings_are_all_told_and_what_a_style_can_say() -> None:
    assert any([row[0].strip("`") for row in table] == list(RENDERINGS) for table in tables())
    for argument in inspect.signature(Style).parameters:
        assert f"`{argument}`" in PAGE
