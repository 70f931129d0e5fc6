"""The pause after a refusal: as long as Tavus asks, or ever longer, and short again as soon as it answers."""

from __future__ import annotations

import pytest

from airflow_provider_tavus.api.errors import ApiError, ConnectionFailedError, RateLimitError, ServerError, TavusError
from airflow_provider_tavus.triggers.brake import LONGEST_PENALTY, Brake

NOON = 1_800_000_000.0


def pauses_after(brake: Brake, *errors: TavusError) -> list[float]:
    """Refuse one request after another, each as soon as the pause before it is over."""
    now, pauses = NOON, []
    for error in errors:
        assert brake.pull_for(error, now, first_pause=1.0)
        pauses.append(brake.until - now)
        now = max(now, brake.until)
    return pauses


def test_refusals_that_name_no_time_double_the_pause_up_to_the_longest() -> None:
    refusals = [RateLimitError("No.") for _ in range(9)]

    assert pauses_after(Brake(), *refusals) == [1, 2, 4, 8, 16, 32, *[LONGEST_PENALTY] * 3]


def test_several_that_were_on_their_way_count_as_one() -> None:
    brake = Brake()
    for _ in range(8):
        assert brake.pull_for(RateLimitError("No."), NOON, first_pause=1.0)

    assert brake.until == NOON + 1


def test_after_an_answer_the_pause_is_short_again() -> None:
    brake = Brake()
    pauses_after(brake, *[RateLimitError("No.") for _ in range(5)])

    brake.release()

    assert brake.pull_for(RateLimitError("No."), NOON + 1000, first_pause=1.0)
    assert brake.until == NOON + 1001


@pytest.mark.parametrize("kind", [RateLimitError, ServerError])
def test_what_tavus_asks_for_is_obeyed_to_the_second(kind: type[ApiError]) -> None:
    assert pauses_after(Brake(), kind("No.", retry_after=7), kind("No.", retry_after=90)) == [7, 90]


@pytest.mark.parametrize("error", [ServerError("No."), ConnectionFailedError("No."), None])
def test_other_faults_hold_nobody_back(error: TavusError | None) -> None:
    brake = Brake()

    assert not brake.pull_for(error, NOON, first_pause=1.0)
    assert not brake.is_on(NOON)
