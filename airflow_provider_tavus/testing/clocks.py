"""
What time it is in the box: real time, faster time, or time that a test moves by hand.

Every moment is in epoch seconds (UTC). A conversation's body depends on its script and on the clock alone, so
moving the clock is all it takes to make an hour's call pass.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the box's time and lets the box wait for a moment of it."""

    def now(self) -> float:
        """Return the box's time in epoch seconds."""

    async def wait_until(self, moment: float) -> None:
        """Return once the box's time has reached ``moment``."""


class RealClock:
    """
    Time that passes by itself.

    :param speed: how many seconds pass in the box per real second; 60 makes an hour's call last a minute.
    :param start: the box's time at the start, in epoch seconds or as an aware datetime; now if not given.
        With a speed above 1 the box's time runs ahead of the machine's from there.
    """

    def __init__(self, speed: float = 1.0, start: float | datetime | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self._start = time.time() if start is None else epoch_seconds(start)
        self._started = time.monotonic()

    def now(self) -> float:
        """Return the box's time in epoch seconds."""
        return self._start + (time.monotonic() - self._started) * self.speed

    async def wait_until(self, moment: float) -> None:
        """Return once the box's time has reached ``moment``."""
        await asyncio.sleep(max(0.0, (moment - self.now()) / self.speed))


class ManualClock:
    """
    Time that stands still until a test moves it; any thread may.

    :param start: the box's time at the start, in epoch seconds or as an aware datetime. If not given it is
        the machine's time in whole seconds, so that a client that compares the box's times with its own clock
        finds nothing odd; give it for a world that is the same in every run.
    """

    def __init__(self, start: float | datetime | None = None) -> None:
        self._now = float(int(time.time())) if start is None else epoch_seconds(start)
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the box's time in epoch seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """
        Move the time forward; what waited for a moment that has come by then has been woken on return.

        :param seconds: how far, in seconds; time never goes back.
        :return: the new time in epoch seconds.
        """
        if seconds < 0:
            raise ValueError("time in the box only moves forward")
        with self._lock:
            self._now += seconds
            due = [waiting for waiting in self._waiting if waiting[0] <= self._now]
            self._waiting = [waiting for waiting in self._waiting if waiting[0] > self._now]
        for _, loop, reached in due:
            loop.call_soon_threadsafe(_resolve, reached)
        for loop in {loop for _, loop, _ in due}:
            _let_run(loop)
        return self._now

    def advance_to(self, moment: float | datetime) -> float:
        """Move the time forward to ``moment``, in epoch seconds or as an aware datetime."""
        return self.advance(epoch_seconds(moment) - self._now)

    async def wait_until(self, moment: float) -> None:
        """Return once the box's time has reached ``moment``."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if moment <= self._now:
                return
            waiting = (moment, loop, loop.create_future())
            self._waiting.append(waiting)
        try:
            await waiting[2]
        finally:
            with self._lock:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)


def epoch_seconds(moment: float | datetime) -> float:
    """Return a moment in epoch seconds; a datetime has to know its time zone."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("a datetime without a time zone names no moment")
        return moment.timestamp()
    return float(moment)


def _resolve(reached: asyncio.Future[None]) -> None:
    if not reached.done():
        reached.set_result(None)


def _let_run(loop: asyncio.AbstractEventLoop, turns: int = 5) -> None:
    """Let a loop of another thread take the turns that a woken task needs; one's own cannot be waited for."""
    try:
        if asyncio.get_running_loop() is loop:
            return
    except RuntimeError:
        pass

    async def some_turns() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(some_turns(), loop).result(timeout=10)
