from __future__ import annotations

import math
from datetime import timedelta

import pytest

from airflow_provider_tavus.conversations.arguments import LONGEST, seconds


@pytest.mark.parametrize(
    ("duration", "in_seconds"),
    [(0, 0.0), (1.5, 1.5), (timedelta(minutes=2), 120.0), (LONGEST, 315_619_200.0), (315_619_200, 315_619_200.0)],
)
def test_a_duration_is_seconds_or_a_timedelta_of_up_to_ten_years(
    duration: float | timedelta, in_seconds: float
) -> None:
    assert seconds("timeout", duration) == in_seconds


@pytest.mark.parametrize("duration", [math.inf, 1e14, timedelta.max, LONGEST + timedelta(microseconds=1)], ids=str)
def test_a_duration_that_overflows_later_is_refused_by_the_arguments_name(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match=r"timeout must be ten years or less, not .*timedelta\(days=3653\) for no end"):
        seconds("timeout", duration)


@pytest.mark.parametrize("duration", [-1, -math.inf, math.nan, timedelta(seconds=-1)], ids=str)
def test_a_duration_below_nothing_is_refused_by_the_arguments_name(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match="timeout must be 0 seconds or more, not"):
        seconds("timeout", duration)
