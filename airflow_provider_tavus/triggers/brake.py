"""The pause that all requests of an account make together when Tavus asks for one. No I/O."""

from __future__ import annotations

from airflow_provider_tavus.api.errors import RateLimitError

LONGEST_PENALTY = 60.0
"""Seconds that all requests pause, at most, after a refusal that names no time itself."""


class Brake:
    """Holds back all requests after a refusal; each further one without an answer between doubles the pause."""

    def __init__(self) -> None:
        self.until = 0.0
        """Epoch seconds before which nothing is to be asked."""
        self._refusals = 0

    def is_on(self, now: float) -> bool:
        """Say whether requests are held back at ``now`` (epoch seconds)."""
        return now < self.until

    def pull_for(self, error: BaseException | None, now: float, first_pause: float) -> bool:
        """
        Hold back what comes after ``error``, if Tavus asks for that, and say whether it does.

        :param now: epoch seconds.
        :param first_pause: seconds that the first pause lasts where Tavus names none.
        """
        asked_for: float | None = getattr(error, "retry_after", None)
        if asked_for is None:
            if not isinstance(error, RateLimitError):
                return False
            if self.is_on(now):
                return True  # one of several that were on their way when the first was refused
            asked_for = min(first_pause * 2 ** min(self._refusals, 10), LONGEST_PENALTY)
        self._refusals += 1
        self.until = max(self.until, now + asked_for)
        return True

    def release(self) -> None:
        """Note that Tavus answers again: the next pause is a short one."""
        self._refusals = 0
