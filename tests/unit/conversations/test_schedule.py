from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.conversations.schedule import Schedule

START = 1_800_000_000.0


def schedule(**changes: float | bool | None) -> Schedule:
    return Schedule(**{"started_at": START, "interval": 60.0, "deadline": START + 3600} | changes)  # type: ignore[arg-type]


def looks(schedule: Schedule, count: int) -> list[float]:
    times = [START]
    while len(times) < count:
        times.append(schedule.next_look(times[-1]))
    return [time - START for time in times]


def test_looks_come_at_the_interval() -> None:
    assert looks(schedule(), 4) == [0, 60, 120, 180]


def test_with_backoff_the_pauses_double() -> None:
    assert looks(schedule(exponential_backoff=True), 6) == [0, 60, 180, 420, 900, 1860]


def test_pauses_grow_to_the_longest_interval_and_no_further() -> None:
    assert looks(schedule(exponential_backoff=True, longest_interval=200), 5) == [0, 60, 180, 380, 580]


def test_a_longest_interval_below_the_interval_does_not_quicken_the_looks() -> None:
    assert looks(schedule(exponential_backoff=True, longest_interval=10), 3) == [0, 60, 120]


def test_a_doubled_pause_does_not_sleep_far_past_the_deadline() -> None:
    assert looks(schedule(exponential_backoff=True, deadline=START + 1000), 7) == [0, 60, 180, 420, 900, 1000, 1060]


def test_the_time_is_up_at_the_deadline() -> None:
    assert not schedule().is_over(START + 3599.9)
    assert schedule().is_over(START + 3600)


@pytest.mark.parametrize("exponential_backoff", [False, True])
def test_a_pause_that_is_too_short_to_be_told_in_epoch_seconds_still_passes(exponential_backoff: bool) -> None:
    tiny = schedule(interval=1e-9, longest_interval=0.0, exponential_backoff=exponential_backoff)

    assert START + 10 < tiny.look_after_a_move(START, now=START + 10) < START + 10.001


def test_a_planned_look_that_is_still_to_come_stays() -> None:
    assert schedule().look_after_a_move(START + 61.5, now=START + 3) == START + 61.5


@pytest.mark.parametrize("backoff", [False, True])
@given(
    interval=st.floats(0.1, 3600),
    longest=st.none() | st.floats(0.1, 7200),
    now=st.floats(0, 604_800),
)
def test_a_moved_wait_goes_on_soon_and_on_the_same_grid(
    backoff: bool, interval: float, longest: float | None, now: float
) -> None:
    plan = schedule(interval=interval, longest_interval=longest, exponential_backoff=backoff, deadline=START + 604_800)

    look = plan.look_after_a_move(START, now=START + now)

    assert look > START + now
    # Never later than one pause from now on, so that no number of moves starves it.
    assert look <= plan.next_look(START + now) + 1e-6 * now + 1e-3
    if not backoff:
        assert (look - START) / interval == pytest.approx(round((look - START) / interval), abs=1e-3)
