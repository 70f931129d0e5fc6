"""How often the list is asked: never so that it costs more than what it stands in for, and as cheaply as can be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.triggers.pace import NEVER, Paces


def paces(*pauses: float) -> Paces:
    counted = Paces()
    for pause in pauses:
        counted.add(pause)
    return counted


def requests_a_second(pauses: list[float], pages: int, tick: float) -> float:
    listing = 0.0 if tick == math.inf else pages / tick
    return listing + sum(1 / pause for pause in pauses if pause < tick)


@given(
    pauses=st.lists(st.sampled_from([0.5, 2.0, 5.0, 30.0, 60.0, 3600.0]), max_size=60),
    pages=st.integers(1, 12),
)
def test_no_other_tick_takes_fewer_requests(pauses: list[float], pages: int) -> None:
    best = paces(*pauses).best_tick(pages)

    least = min(requests_a_second(pauses, pages, tick) for tick in (*pauses, math.inf))
    assert requests_a_second(pauses, pages, best.seconds) == pytest.approx(least)


@given(pauses=st.lists(st.sampled_from([0.5, 2.0, 5.0, 30.0]), min_size=1, max_size=60), pages=st.integers(1, 12))
def test_with_its_most_pages_it_is_the_cheaper_way_and_with_one_more_it_is_not(pauses: list[float], pages: int) -> None:
    best = paces(*pauses).best_tick(pages)

    if best is not NEVER:
        served = sum(best.seconds / pause for pause in pauses if best.serves(pause))
        assert pages <= best.most_pages < served - 1e-9
        assert best.most_pages + 1 >= served - 1e-9


@pytest.mark.parametrize(
    ("pauses", "pages", "tick"),
    [
        ([5.0], 1, math.inf),
        ([5.0] * 2, 1, 5.0),
        ([5.0] * 4, 4, math.inf),
        ([5.0] * 5, 4, 5.0),
        # One that is in a hurry is no reason to ask twenty pages as often.
        ([1.0, *[300.0] * 2000], 20, 300.0),
        ([], 1, math.inf),
    ],
    ids=str,
)
def test_the_list_is_asked_as_often_as_it_is_worth_it(pauses: list[float], pages: int, tick: float) -> None:
    assert paces(*pauses).best_tick(pages).seconds == tick


def test_who_is_counted_no_more_makes_no_difference() -> None:
    counted = paces(1.0, *[5.0] * 3)
    before = paces(*[5.0] * 3).best_tick(2)

    counted.remove(1.0)

    assert counted.best_tick(2) == before
