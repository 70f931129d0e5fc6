from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tavus.collect import spool
from airflow_provider_tavus.collect.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def kept() -> Iterator[Spool]:
    kept = Spool()
    yield kept
    kept.close()


def rows(conversation: str, partition: str) -> list[bytes]:
    return [f"{conversation} of {partition}\n".encode(), b"", f"{conversation}'s events\n".encode() * 3]


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_rows_come_back_as_they_were_put_by_partition_and_conversation(kept: Spool) -> None:
    # More than there are files, so that some share one.
    dates = [f"2026-{month:02}-{day:02}" for month in (8, 10, 12) for day in range(1, 32)]
    for date in dates:
        for conversation in ("c1", "c2"):
            kept.put(date, conversation, rows(conversation, date))

    for date in dates:
        assert kept.get(date, ["c2", "unknown", "c1"]) == {each: rows(each, date) for each in ("c1", "c2")}
    assert kept.get("2027-01-01", ["c1"]) == {}


def test_the_rows_that_were_put_last_count(kept: Spool) -> None:
    kept.put("2026-11-24", "c1", [b"older\n"])
    kept.put("2026-11-24", "c1", [b"newer, and longer\n"])

    assert kept.get("2026-11-24", ["c1"]) == {"c1": [b"newer, and longer\n"]}


def test_what_is_dropped_is_gone_and_touches_no_other_of_the_same_file(
    kept: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "FILES", 1)
    for date in ("2026-11-24", "2026-11-25"):
        kept.put(date, "c1", rows("c1", date))
    kept.drop("2026-11-24")

    assert kept.get("2026-11-24", ["c1"]) == {}
    assert kept.get("2026-11-25", ["c1"]) == {"c1": rows("c1", "2026-11-25")}


def test_a_file_goes_with_the_last_of_its_partitions(kept: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "FILES", 1)
    before = open_files()
    for date in ("2026-11-24", "2026-11-25"):
        kept.put(date, "c1", rows("c1", date))
    assert open_files() == before + 1
    kept.drop("2026-11-24")
    assert open_files() == before + 1
    kept.drop("2026-11-25")
    assert open_files() == before


def test_its_files_have_no_name(kept: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept.put("2026-11-24", "c1", rows("c1", "2026-11-24") * 1000)

    assert kept.get("2026-11-24", ["c1"])
    assert not list(tmp_path.iterdir())
