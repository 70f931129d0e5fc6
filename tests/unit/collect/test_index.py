"""What a run asks of its index again and again costs no more, the more the archive holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_tavus.collect.entry import Entry
from airflow_provider_tavus.collect.index import Index, Row
from airflow_provider_tavus.collect.layout import Shard

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def index() -> Index:
    return Index(Shard(), now=NOW)


def entry(conversation_id: str, partition: str | None = "2027-01-15") -> Entry:
    return Entry(conversation_id=conversation_id, state="collected", at=NOW, partition=partition, sha256="0")


@pytest.mark.parametrize(
    "ask",
    [
        lambda index: index.note([Row("c1", True), Row("c2", False)], 2),
        lambda index: index.has_due(1),
        lambda index: index.take_due(1),
        lambda index: index.settle([(entry("c1"), "collected")]),
        lambda index: index.settle_unchanged("c1", "failed", None),
        lambda index: index.partition_is_finished("2027-01-15"),
        lambda index: index.unsaved(),
        lambda index: index.take_entries_to_save(1),
        lambda index: index.stored_otherwise(entry("c1")),
    ],
)
def test_no_such_question_goes_through_all_that_there_is(index: Index, ask: Callable[[Index], object]) -> None:
    index.note([Row("c1", True), Row("c2", True)], 1)
    index.settle([(entry("c1"), "collected")])
    asked: list[str] = []
    index._database.set_trace_callback(asked.append)

    ask(index)

    index._database.set_trace_callback(None)
    plans = [index._database.execute(f"EXPLAIN QUERY PLAN {each}").fetchall() for each in asked if " " in each.strip()]
    steps = [step for plan in plans for *_, step in plan]
    assert plans
    assert not [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]


def test_a_row_that_a_second_reading_shows_changed_is_taken_in(index: Index) -> None:
    index.note([Row("c1", False, NOW - DAY), Row("c2", True, NOW - DAY)], 1)
    assert [each.conversation_id for each in index.take_due(9)] == ["c2"]

    index.note([Row("c1", True, None, NOW), Row("c2", True, NOW - DAY)], 2)

    (due,) = index.take_due(9)
    assert due.row == Row("c1", True, NOW - DAY, NOW)
    assert index.seen_in(2) == 2


def test_the_ledger_gets_each_entry_once_whatever_their_dates(index: Index) -> None:
    partitions = {"c1": None, "c2": "unknown", "c3": "2027-01-14", "c4": "2027-01-15", "c5": "2027-01-14"}
    index.note([Row(each, True) for each in partitions], 1)
    index.settle([(entry(each, partition), "collected") for each, partition in partitions.items()])

    saved = [index.take_entries_to_save(2) for _ in range(4)]

    assert [len(some) for some in saved] == [2, 2, 1, 0]
    assert sorted(told[20:22] for some in saved for told in some) == sorted(partitions)


def test_the_ledger_waits_for_what_is_of_an_unfinished_partition(index: Index) -> None:
    partitions = {"c1": "unknown", "c2": "2027-01-14", "c3": "2027-01-14"}
    index.note([Row(each, True) for each in partitions], 1)
    index.settle(
        [(entry(each, partition), "collected") for each, partition in partitions.items()], partition_unfinished=True
    )
    assert index.unsaved() == 0

    index.partition_is_finished("2027-01-14")
    assert index.unsaved() == len(index.take_entries_to_save(9)) == 2

    index.partition_is_finished("unknown")
    assert index.unsaved() == len(index.take_entries_to_save(9)) == 1
