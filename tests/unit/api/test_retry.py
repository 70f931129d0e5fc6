from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.api import calls, errors
from airflow_provider_tavus.api.retry import RetryPolicy, retry_after_seconds

if TYPE_CHECKING:
    from airflow_provider_tavus.testing import TavusBox

READ = calls.get_conversation("c1")
FAULT = errors.ConnectionFailedError("It broke.")


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.75])
@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0)])
def test_a_pause_lies_between_nothing_and_a_doubling_ceiling(attempt: int, ceiling: float, jitter: float) -> None:
    pause = RetryPolicy(retries=3).pause_before_retry(READ, attempt, FAULT, jitter=lambda: jitter)

    assert pause == jitter * ceiling


@pytest.mark.parametrize("attempt", [60, 5000])
def test_no_pause_exceeds_the_last_ceiling(attempt: int) -> None:
    assert RetryPolicy(retries=9999).pause_before_retry(READ, attempt, FAULT, jitter=lambda: 1.0) == 8.0


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


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3599", 3599.0),
        ("3601", 3600.0),
        ("99999999", 3600.0),
        ("9" * 5000, 3600.0),
        ("Wed, 21 Oct 2015 08:27:00 GMT", 3600.0),
        ("Wed, 21 Oct 2115 07:28:00 GMT", 3600.0),
    ],
)
def test_a_retry_after_counts_for_an_hour_at_most(header: str, seconds: float) -> None:
    assert retry_after_seconds(header, now=lambda: 1445412420.0) == seconds


def test_an_error_asks_for_no_more_than_an_hour_whatever_the_answer_said(send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=503, retry_after=99_999_999)

    with pytest.raises(errors.ServerError) as raised:
        send(READ)
    assert raised.value.retry_after == 3600
