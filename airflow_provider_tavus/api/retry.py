"""When a request is repeated, and after how long. Decided here alone, for the sync and the async client."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.api.errors import TavusError

LONGEST_WISH = 3600.0
"""
Seconds that a ``Retry-After`` counts for, at most.

All waits of an account pause for it, and watchers for as long as they live. So what was meant as milliseconds, or is a
date by a clock that is off, would stop them for good. Who still wants to be left alone after an hour says so again.
"""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    Full jitter under a doubling ceiling; ``Retry-After`` is obeyed up to a cap.

    :param retries: repetitions after the first request, at most.
    :param first_ceiling: seconds that the first pause may last, at most; it doubles from there.
    :param last_ceiling: seconds that any pause may last, at most.
    :param longest_retry_after: a ``Retry-After`` of more seconds than this ends the call at once, with the
        wish in the error's ``retry_after``: whoever waits longer than that should not hold a worker for it.
    """

    retries: int = 3
    first_ceiling: float = 0.5
    last_ceiling: float = 8.0
    longest_retry_after: float = 60.0

    def pause_before_retry(
        self,
        call: Call[Any],
        attempt: int,
        error: TavusError,
        jitter: Callable[[], float] = random.random,  # noqa: S311 - spreads load, guards nothing
    ) -> float | None:
        """
        Seconds to pause before ``call`` is repeated; None if it is not to be repeated.

        :param attempt: which attempt failed, counted from 1.
        :param error: how it failed.
        :param jitter: gives a number from 0 up to 1.
        """
        if attempt > self.retries or not (error.transient and (call.repeatable or error.undone)):
            return None
        # Thousands of doublings would overflow, and no fewer than these reach any ceiling.
        pause = jitter() * min(self.last_ceiling, self.first_ceiling * 2.0 ** min(attempt - 1, 100))
        if error.retry_after is None:
            return pause
        if error.retry_after > self.longest_retry_after:
            return None
        return error.retry_after + pause


def retry_after_seconds(header: str | None, now: Callable[[], float] = time.time) -> float | None:
    """
    Read a ``Retry-After`` header, a number of seconds or an HTTP date (RFC 9110, section 10.2.3).

    :return: seconds from now, from 0 to :data:`LONGEST_WISH`; None for no header or one that is neither.
    """
    wish = _wish(header.strip(), now) if header is not None else None
    return None if wish is None else min(max(0.0, wish), LONGEST_WISH)


def _wish(text: str, now: Callable[[], float]) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - now()
    except (ValueError, OverflowError):
        return None
