"""
The callbacks that hold up an event loop, whatever else the machine is doing.

asyncio's own debug mode measures by the wall clock, so that on a busy machine it blames whoever happens to be
interrupted. Here the time in which a callback could have gone on, but others had the processor, does not count;
computing counts, and so does blocking, as a read of a file or a lock does.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class SlowCallback:
    """One that held the loop, and for how many seconds."""

    name: str
    seconds: float


@contextmanager
def slow_callbacks(longest: float = 0.05) -> Iterator[list[SlowCallback]]:
    """Note every callback that holds a loop longer, in seconds; to be put around the loop's whole life."""
    found: list[SlowCallback] = []
    run = asyncio.Handle._run

    with own_time() as now:

        def measured(handle: asyncio.Handle) -> None:
            began = now()
            run(handle)
            seconds = now() - began
            if seconds >= longest:
                found.append(SlowCallback(name_of(handle), seconds))

        asyncio.Handle._run = measured  # type: ignore[assignment, method-assign]
        try:
            yield found
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]


@contextmanager
def own_time() -> Iterator[Callable[[], float]]:
    """A clock, in seconds, that on Linux stands still while this thread waits for a processor."""
    try:
        statistics = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        yield time.perf_counter
        return

    def now() -> float:
        waited_for_a_processor = int(os.pread(statistics, 100, 0).split()[1]) / 1e9
        return time.perf_counter() - waited_for_a_processor

    try:
        yield now
    finally:
        os.close(statistics)


def name_of(handle: asyncio.Handle) -> str:
    """The coroutine of a task's step, or the function."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return str(getattr(task.get_coro(), "__qualname__", task))
    return str(getattr(callback, "__qualname__", callback))
