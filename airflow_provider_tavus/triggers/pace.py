"""How often to ask the list of active conversations, so that it costs less than what it stands in for. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """
    How often the list is asked.

    :param seconds: from one time to the next; infinite if it is never worth it.
    :param most_pages: so many requests it may take each time and still be the cheaper way.
    """

    seconds: float
    most_pages: int

    def serves(self, pause: float) -> bool:
        """Say whether the list comes often enough for a conversation that is to be looked at after each ``pause``."""
        return pause >= self.seconds


NEVER = Tick(math.inf, 0)


class Paces:
    """
    How often each of the conversations is to be looked at that the list can stand in for.

    A list that is asked every T seconds takes the place of the reads of all who are to be looked at every T seconds
    or less often. Who is in more of a hurry goes on being read: one of them is no reason to ask many pages as often.
    """

    def __init__(self) -> None:
        self._pauses: Counter[float] = Counter()
        self._best: dict[int, Tick] = {}
        """What was found for so many pages, as long as the pauses are the same."""

    def add(self, pause: float) -> None:
        """Count a conversation that is to be looked at after each ``pause``, in seconds."""
        self._pauses[pause] += 1
        self._best.clear()

    def remove(self, pause: float) -> None:
        """Count it no more."""
        self._pauses[pause] -= 1
        self._best.clear()
        if not self._pauses[pause]:
            del self._pauses[pause]

    def best_tick(self, pages: int) -> Tick:
        """
        Return the tick with the fewest requests in all.

        :param pages: how many requests the list takes.
        """
        if pages not in self._best:
            self._best[pages] = self._find_best_tick(pages)
        return self._best[pages]

    def _find_best_tick(self, pages: int) -> Tick:
        best, most_saved = NEVER, 0.0
        saved_by_list = 0.0
        # Beginning with the longest: each further pause adds those who are then served, too.
        for pause in sorted(self._pauses, reverse=True):
            saved_by_list += self._pauses[pause] / pause
            saved = saved_by_list - pages / pause
            # As if by a margin: what rounding alone makes cheaper is not.
            if saved > most_saved + 1e-9 * saved_by_list:
                best, most_saved = Tick(pause, math.ceil(saved_by_list * pause - 1e-9) - 1), saved
        return best
