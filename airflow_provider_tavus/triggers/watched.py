"""Who takes part in a shared poll, and what is known of each conversation that they wait for. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from airflow_provider_tavus.conversations.wait import Wait

LONGEST_UNVERIFIED = 300.0
"""Seconds (or twenty intervals, if that is longer) after which a conversation is read though the list has it."""

READING = -1.0
"""The due time of a conversation that is being read, or whose turn has come."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A wait that takes part, and what it has looked at since its time was up."""

    wait: Wait
    over: asyncio.Future[None]
    tell: Callable[[str], object]
    """Writes a line into the log of the task that waits."""
    looked_at_last: set[str] = field(default_factory=set)

    def end(self, error: BaseException | None = None) -> None:
        """Wake it up, if nobody has yet."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)


@dataclass(eq=False, slots=True)
class Watched:
    """A conversation that somebody waits for; all times in epoch seconds."""

    conversation_id: str
    read_at: float
    """When it was last read by itself, or one interval before whoever watches it first wanted to look."""
    planned: float
    """When it is to be looked at again after that; it is not read before."""
    wants_read: bool
    """Whether it is to be read whatever the list says: nobody has looked at it yet, or it has left the list."""
    seen_active: float = -math.inf
    """When it was last on the list of active conversations."""
    due: float = math.inf
    """When its turn comes next."""
    has_its_turn: bool = False
    """Whether ``due`` is its turn among many that fell due together."""
    pause: float | None = None
    """The pause between two looks with which it counts among those that the list can stand in for, if it does."""
    backs_off: bool = False
    """Whether the pauses between its looks can grow."""
    waiters: set[Waiter] = field(default_factory=set)

    def add(self, waiter: Waiter) -> None:
        """Let one more wait for it."""
        self.waiters.add(waiter)
        self.backs_off |= waiter.wait.schedule.exponential_backoff

    @property
    def interval(self) -> float:
        """Seconds between two reads, at least: the shortest that anybody who waits for it has asked for."""
        return min(waiter.wait.schedule.interval for waiter in self.waiters)

    @property
    def next_look(self) -> float:
        """When the first of those who wait for it would look again, had they looked when the list or a read did."""
        if self.seen_active <= self.read_at:
            return self.planned
        return min(waiter.wait.schedule.next_look(self.seen_active) for waiter in self.waiters)

    @property
    def deadline(self) -> float:
        """When the first of those who wait for it has to look for the last time."""
        return min(waiter.wait.schedule.deadline for waiter in self.waiters)

    @property
    def verified_until(self) -> float:
        """How long the list is believed that it is active."""
        return self.read_at + max(LONGEST_UNVERIFIED, 20 * self.interval)

    def present_pause(self) -> float:
        """Return the seconds between two looks: the interval, or with a backoff its longest doubling so far."""
        interval = self.interval
        growth = (self.next_look - max(self.seen_active, self.read_at)) / interval if self.backs_off else 1.0
        # Doublings alone, so that many that back off still have few pauses between them.
        return interval * 2.0 ** math.floor(math.log2(growth)) if 1.0 < growth < math.inf else interval
