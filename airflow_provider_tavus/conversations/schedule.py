"""When to look again, and when to stop looking. Wall-clock arithmetic, the same wherever a wait runs."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    The looks of one wait.

    It holds no state of its own: a wait that moves to another process goes on where it was.

    :param started_at: epoch seconds of the first start of the wait.
    :param interval: seconds between two looks, at least.
    :param deadline: epoch seconds; the first look at or after it is the last one.
    :param exponential_backoff: let the pauses double from ``interval`` on.
    :param longest_interval: seconds that a pause may grow to, at most.
    """

    started_at: float
    interval: float
    deadline: float
    exponential_backoff: bool = False
    longest_interval: float | None = None

    def next_look(self, last_look: float) -> float:
        """Return the epoch seconds of the look after ``last_look``."""
        return last_look + self._pause(last_look)

    def look_after_a_move(self, planned: float, now: float) -> float:
        """
        Return the next look of a wait that was to look at ``planned`` and has been moved, perhaps long ago.

        It is the planned one, if that is still to come. Later ones lie on the grid that begins there, so that
        no number of moves or restarts makes the looks more frequent, and none starves them.
        """
        look = planned
        while look <= now:
            pause = self._pause(look)
            # Once the pauses grow no more, all that have passed are one step: a long wait has very many.
            steady = self._pause(look + pause) == pause
            later = look + pause * max(1, (now - look) // pause if steady else 1)
            # A pause may be too short to be told in epoch seconds.
            look = max(later, math.nextafter(look, math.inf))
        return look

    def is_over(self, now: float) -> bool:
        """Say whether the time is up."""
        return now >= self.deadline

    def _pause(self, look: float) -> float:
        if not self.exponential_backoff:
            return self.interval
        # Pauses that double since the start always last as long as all before them, plus the first.
        doubled = look - self.started_at + self.interval
        longest = self.longest_interval if self.longest_interval is not None else doubled
        return max(self.interval, min(doubled, longest, self.deadline - look))
