"""What waits between the receiver and the database."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from airflow_provider_tavus.callbacks.journal import MOST_IDS
from airflow_provider_tavus.callbacks.journal_writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


class Database:
    """Notes what is written to it; can be slow, broken, or without a journal."""

    def __init__(self, seconds: float = 0.0, failures: int = 0, is_there: bool = True) -> None:
        self.batches: list[list[str]] = []
        self.seconds = seconds
        self.failures = failures
        self.is_there = is_there
        self.thread: threading.Thread | None = None

    def write(self, ids: Sequence[str]) -> bool:
        self.thread = threading.current_thread()
        time.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise OSError("no database, but some-id in a statement")
        self.batches.append(list(ids))
        return self.is_there


async def all_written(writer: JournalWriter) -> None:
    assert writer._running is not None
    await asyncio.wait_for(writer._running, 5)


async def test_an_id_is_written_at_once_and_what_comes_meanwhile_together_and_each_once() -> None:
    database = Database(seconds=0.05)
    writer = JournalWriter(database.write, "calls", pause=0.01)
    writer.add("c1")
    await asyncio.sleep(0.02)
    for _ in range(100):
        writer.add("c2")
        writer.add("c3")
    await all_written(writer)

    assert database.batches == [["c1"], ["c2", "c3"]]
    assert database.thread is not threading.current_thread()


async def test_it_begins_again_after_it_had_nothing_to_do() -> None:
    database = Database()
    writer = JournalWriter(database.write, "calls", pause=0.0)
    for number in range(3):
        writer.add(f"c{number}")
        await all_written(writer)
    assert database.batches == [["c0"], ["c1"], ["c2"]]


async def test_while_the_database_does_not_answer_no_more_wait_than_the_journal_keeps() -> None:
    database = Database(seconds=0.2)
    writer = JournalWriter(database.write, "calls", pause=0.0)
    writer.add("the first")
    await asyncio.sleep(0.05)
    for number in range(5 * MOST_IDS):
        writer.add(f"c{number}")
    assert len(writer._waiting) == MOST_IDS
    await all_written(writer)
    assert database.batches[1] == [f"c{number}" for number in range(4 * MOST_IDS, 5 * MOST_IDS)]


async def test_what_could_not_be_written_is_written_later_before_what_came_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database(failures=3)
    writer = JournalWriter(database.write, "calls", pause=0.0, pause_after_a_failure=0.05)
    with caplog.at_level(logging.INFO):
        writer.add("c1")
        await asyncio.sleep(0.02)
        writer.add("c2")
        await all_written(writer)
    assert database.batches == [["c1", "c2"]]
    assert len(caplog.records) == 1
    assert "OSError" in caplog.text


async def test_without_a_journal_the_ids_are_dropped_and_one_line_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database(is_there=False)
    writer = JournalWriter(database.write, "calls", pause=0.0)
    for number in range(50):
        writer.add(f"c{number}")
        await all_written(writer)
    assert len(database.batches) == 50
    (line,) = caplog.records
    assert "'calls'" in line.getMessage()
    assert "callback_asset" in line.getMessage()


def test_what_comes_just_before_the_server_stops_is_written_all_the_same() -> None:
    database = Database(seconds=0.1)

    async def serve() -> None:
        writer = JournalWriter(database.write, "calls", pause=60.0)
        writer.add("c1")
        await asyncio.sleep(0.05)
        writer.add("c2")
        await asyncio.sleep(0.2)
        writer.add("c3")

    asyncio.run(serve())

    assert database.batches == [["c1"], ["c2", "c3"]]
