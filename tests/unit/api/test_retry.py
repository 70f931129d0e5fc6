from __future__ import annotations

import dataclasses

import pytest

from airflow_provider_tavus.api import calls, errors
from airflow_provider_tavus.api.retry import RetryPolicy, retry_after_seconds

READ = calls.get_conversation("c1")
FAULT = errors.ConnectionFailedError("It broke.")


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.75])
@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0)])
def test_a_pause_lies_between_nothing_and_a_doubling_ceiling(attempt: int, ceiling: float, jitter: float) -> None:
    pause = RetryPolicy(retries=3).pause_before_retry(READ, attempt, FAULT, jitter=lambda: jitter)

    assert pause == jitter * ceiling


def test_no_pause_exceeds_the_last_ceiling() -> None:
    assert RetryPolicy(retries=99).pause_before_retry(READ, 60, FAULT, jitter=lambda: 1.0) == 8.0


def test_the_last_attempt_is_not_repeated() -> None:
    assert RetryPolicy(retries=3).pause_before_retry(READ, 4, FAULT) is None
    assert RetryPolicy(retries=0).pause_before_retry(READ, 1, FAULT) is None


def test_what_may_have_been_done_is_not_done_again() -> None:
    create = dataclasses.replace(READ, repeatable=False)

    assert RetryPolicy().pause_before_retry(create, 1, FAULT) is None


def test_what_a_repetition_cannot_cure_is_not_repeated() -> None:
    assert RetryPolicy().pause_before_retry(READ, 1, errors.AuthenticationError("No.")) is None


@pytest.mark.parametrize(("asked", "pause"), [(0, 0.25), (7, 7.25), (60, 60.25), (61, None)])
def test_a_retry_after_is_honoured_up_to_the_cap(asked: float, pause: float | None) -> None:
    error = errors.RateLimitError("Slow down.", retry_after=asked)

    assert RetryPolicy().pause_before_retry(READ, 1, error, jitter=lambda: 0.5) == pause


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=lambda: 1445412420.0) == seconds
