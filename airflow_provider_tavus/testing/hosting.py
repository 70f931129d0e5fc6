"""Where a box runs: in the running event loop, or in a thread of its own beside code that blocks."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import TracebackType


class Hosted(ABC):
    """Something that is served by an event loop and can be used from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @contextmanager
    def in_thread(cls, *args: Any, **kwargs: Any) -> Iterator[Self]:
        """Serve one from a thread of its own; arguments as for the class."""
        hosted = cls(*args, **kwargs)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="tavus-box", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(hosted.start(), loop).result()
            try:
                yield hosted
            finally:
                asyncio.run_coroutine_threadsafe(hosted.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def __aenter__(self) -> Self:
        """Start serving in the running loop."""
        await self.start()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        await self.stop()

    async def start(self) -> None:
        """Start serving in the running loop."""
        self._loop = asyncio.get_running_loop()
        await self._start_serving()

    async def stop(self) -> None:
        """Stop serving and let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stop_serving()
        self._loop = None

    @abstractmethod
    async def _start_serving(self) -> None: ...

    @abstractmethod
    async def _stop_serving(self) -> None: ...

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, until the box stops; from within the loop only."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _in_loop(self, work: Callable[[], None]) -> None:
        """Do something within the box's loop, before this returns, whichever thread calls."""
        if self._is_within_loop():
            work()
            return

        async def work_and_what_it_causes() -> None:
            work()
            await asyncio.sleep(0)

        self._wait_for(work_and_what_it_causes())

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Have the loop do something, and wait until it is done; from other threads only."""
        if self._loop is None or self._is_within_loop():
            work.close()
            raise RuntimeError("the box is not being served, or its own loop would have to wait for itself")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _is_within_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False
