"""The time that waits go by; a test can put its own in place of it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and when a moment has come."""

    def now(self) -> float:
        """Return the time in epoch seconds."""

    async def wait_until(self, moment: float) -> None:
        """Return once ``moment``, in epoch seconds, has come."""


class WallClock:
    """The machine's time, which can be set: a wait goes on in other processes, on other machines."""

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return time.time()

    async def wait_until(self, moment: float) -> None:
        """Return once ``moment``, in epoch seconds, has come."""
        await asyncio.sleep(max(0.0, moment - time.time()))
