"""What stands between the receiver and the database: ids wait here for a moment and are written together."""

from __future__ import annotations

import asyncio
import logging
import time
from contextvars import Context
from typing import TYPE_CHECKING

from airflow_provider_tavus.callbacks.journal import MOST_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds between two writes."""

PAUSE_AFTER_A_FAILURE = 5.0

LINES_EVERY = 60.0
"""Seconds between two lines about the same trouble: a flood of callbacks is to be none of log lines."""


class JournalWriter:
    """
    Writes ids in batches, one at a time and off the event loop. As many wait as the journal keeps, each once.

    :param write: appends ids to the journal; returns whether there is one.
    :param asset: the name of the asset that has it, for the log.
    :param pause: seconds between two writes.
    :param pause_after_a_failure: seconds before a write that failed is tried again.
    """

    def __init__(
        self,
        write: Callable[[Sequence[str]], bool],
        asset: str,
        pause: float = PAUSE,
        pause_after_a_failure: float = PAUSE_AFTER_A_FAILURE,
    ) -> None:
        self._write = write
        self._asset = asset
        self._pause = pause
        self._pause_after_a_failure = pause_after_a_failure
        self._waiting: dict[str, None] = {}
        self._running: asyncio.Task[None] | None = None
        self._told: dict[str, float] = {}

    def add(self, conversation_id: str) -> None:
        """Let an id be written soon."""
        self._waiting[conversation_id] = None
        while len(self._waiting) > MOST_IDS:
            del self._waiting[next(iter(self._waiting))]
        if self._running is None:
            # It outlives the request that happens to be the first, and has nothing of it.
            self._running = asyncio.create_task(self._write_all(), context=Context())

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = list(self._waiting), {}
                try:
                    written = await asyncio.to_thread(self._write, batch)
                except Exception as fault:
                    self._keep(batch)
                    self._tell("Callbacks cannot be written down (%s): they are kept for a while.", _in_short(fault))
                    await asyncio.sleep(self._pause_after_a_failure)
                    continue
                if not written:
                    self._tell(
                        "Callbacks come, but have no effect: there is no active asset named %r. Let a DAG define it "
                        "(a watcher of conversations has one), or set [tavus] callback_asset to one that there is.",
                        self._asset,
                    )
                await asyncio.sleep(self._pause)
        except asyncio.CancelledError:
            # The API server stops: an app within its app has no other sign of that. Nothing else waits for the loop.
            self._write_the_last()
            raise
        finally:
            self._running = None

    def _write_the_last(self) -> None:
        try:
            if self._waiting:
                self._write(list(self._waiting))
        except Exception as fault:
            self._tell("The last callbacks could not be written down: %s", _in_short(fault))

    def _keep(self, batch: list[str]) -> None:
        self._waiting = dict.fromkeys([*batch, *self._waiting][-MOST_IDS:])

    def _tell(self, sentence: str, *arguments: object) -> None:
        now = time.monotonic()
        if now >= self._told.get(sentence, now):
            self._told[sentence] = now + LINES_EVERY
            log.warning(sentence, *arguments)


def _in_short(fault: Exception) -> str:
    # SQLAlchemy's own text has the statement and all that was to be written.
    return f"{type(fault).__name__}: {getattr(fault, 'orig', None) or fault}"[:300]
