"""An event loop in a task's own thread, which Airflow interrupts by raising from a signal."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import FrameType

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that the work has to end after a time-out, until that strikes wherever it is."""


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """
    Do what :func:`asyncio.run` does, and end with what a signal raises.

    Airflow raises so when ``execution_timeout`` is over, and Airflow 2 where a task is to stop. In the midst of the
    loop, asyncio would log that and go on, or wait for ever for what it had just lost. So the work is cancelled
    instead, and the fault raised once it has ended.
    """
    struck: list[BaseException] = []

    async def until_struck() -> T:
        with ExitStack() as handlers:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGALRM, signal.SIGTERM):
                    handlers.enter_context(_kept_out_of_the_loop(number, struck))
            return await work

    try:
        return asyncio.run(until_struck())
    except BaseException:
        if struck:
            raise struck[0] from None
        raise


@contextmanager
def _kept_out_of_the_loop(number: signal.Signals, struck: list[BaseException]) -> Iterator[None]:
    """Keep what a signal's handler raises, and cancel this task."""
    loop, task, handler = asyncio.get_running_loop(), asyncio.current_task(), signal.getsignal(number)
    assert task is not None

    def strike(number: int, frame: FrameType | None) -> None:
        assert callable(handler)
        try:
            handler(number, frame)
        except BaseException as fault:
            if struck:
                # Something does not let the loop have its turn.
                raise
            struck.append(fault)
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
            if number == signal.SIGALRM:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    if not callable(handler):
        yield
        return
    signal.signal(number, strike)
    try:
        yield
    finally:
        if struck and number == signal.SIGALRM:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(number, handler)
