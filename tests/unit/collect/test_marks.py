from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.marks import DEAD_AFTER, RENEWED_AFTER, Marks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def now() -> list[float]:
    return [1_800_000_000.0]


@pytest.fixture
def marks(tmp_path: Path, now: list[float]) -> Callable[..., Marks]:
    def make(run_id: str, shard: Shard | None = None) -> Marks:
        return Marks(LocalStore(tmp_path), shard or Shard(), run_id=run_id, clock=lambda: now[0])

    return make


def test_a_mark_tells_others_of_all_partitions_that_were_written_to(marks: Callable[..., Marks]) -> None:
    one = marks("one")
    one.write(["2026-11-24"])
    one.write(["2026-11-25", "unknown"])

    assert marks("two").left_by_others() == {"2026-11-24", "2026-11-25", "unknown"}
    assert not one.left_by_others(), "it is its own"


def test_a_mark_is_for_runs_of_the_same_shard(marks: Callable[..., Marks]) -> None:
    marks("one", Shard(1, 3)).write(["2026-11-24"])

    assert marks("two", Shard(1, 3)).left_by_others() == {"2026-11-24"}
    assert not marks("three", Shard(2, 3)).left_by_others()


def test_a_mark_is_written_again_for_another_partition_and_after_a_while(
    marks: Callable[..., Marks], now: list[float]
) -> None:
    one = marks("one")
    assert not one.covers({"2026-11-24"})
    one.write({"2026-11-24"})
    assert one.covers({"2026-11-24"})
    assert not one.covers({"2026-11-24", "2026-11-25"})

    now[0] += RENEWED_AFTER
    assert not one.covers({"2026-11-24"})


def test_who_clears_removes_its_own_mark_and_those_it_has_found_of_the_dead(
    marks: Callable[..., Marks], now: list[float]
) -> None:
    marks("one").write(["2026-11-24"])
    now[0] += DEAD_AFTER
    two = marks("two")
    two.left_by_others()
    two.write(["2026-11-25"])
    marks("later").write(["2026-11-26"])

    two.clear()

    assert marks("three").left_by_others() == {"2026-11-26"}


def test_a_mark_that_was_young_when_it_was_found_stays_as_its_run_may_not_be_dead(
    marks: Callable[..., Marks], now: list[float]
) -> None:
    marks("one").write(["2026-11-24"])
    now[0] += DEAD_AFTER - 1
    two = marks("two")
    assert two.left_by_others() == {"2026-11-24"}
    now[0] += 1

    two.clear()

    assert marks("three").left_by_others() == {"2026-11-24"}


def test_a_mark_that_was_written_again_stays_as_its_run_is_not_dead(
    marks: Callable[..., Marks], now: list[float]
) -> None:
    one, two = marks("one"), marks("two")
    one.write(["2026-11-24"])
    now[0] += DEAD_AFTER
    two.left_by_others()
    one.write(["2026-11-25"])

    two.clear()

    assert marks("three").left_by_others() == {"2026-11-24", "2026-11-25"}


def test_a_mark_stays_for_those_alone_with_which_not_all_is_well(marks: Callable[..., Marks], now: list[float]) -> None:
    marks("one").write(["2026-11-24", "2026-11-25"])
    now[0] += DEAD_AFTER
    two = marks("two")
    two.left_by_others()
    two.write(["2026-11-26", "2026-11-27"])

    two.clear(but={"2026-11-24", "2026-11-27"})

    assert marks("three").left_by_others() == {"2026-11-24", "2026-11-27"}


@pytest.mark.parametrize(
    "content",
    [
        *["", "no JSON", "[[", "null", "5", "[1]", '[["a"]]', '["2026-11-24"]', '{"a": 1}', '{"at": "2026-11-24T0'],
        '{"at": 5, "partitions": []}',
        '{"at": "then", "partitions": []}',
        '{"at": "2026-11-24T00:00:00Z", "partitions": 5}',
        '{"at": "2026-11-24T00:00:00Z", "partitions": ["../2026-11-24"]}',
        '{"at": "2026-11-24T00:00:00Z", "partitions": ["\\ud800"]}',
    ],
)
def test_a_mark_that_cannot_be_read_is_one_for_all_dates_and_goes_with_the_others(
    content: str, marks: Callable[..., Marks], now: list[float], tmp_path: Path
) -> None:
    marks("one").write(["2026-11-24"])
    now[0] += DEAD_AFTER
    for folder in ("created=2026-11-25", "created=unknown", "of-others", "created=somewhere"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
    (tmp_path / "_writing" / "00000-foreign").write_text(content)
    two = marks("two")

    assert two.left_by_others() == {"2026-11-24", "2026-11-25", "unknown"}
    two.clear()

    assert not list((tmp_path / "_writing").iterdir())


def test_what_has_not_the_name_of_a_mark_is_let_be(marks: Callable[..., Marks], tmp_path: Path) -> None:
    foreign = tmp_path / "_writing" / ".DS_Store"
    foreign.parent.mkdir()
    foreign.touch()
    (tmp_path / "raw" / "created=2026-11-25").mkdir(parents=True)
    one = marks("one")

    assert not one.left_by_others()
    one.clear()

    assert foreign.exists()
