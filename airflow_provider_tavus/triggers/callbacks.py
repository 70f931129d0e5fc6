"""What a triggerer learns of callbacks: it reads the journal that the receiver in the API server writes."""

from __future__ import annotations

import asyncio
import logging
import time
from contextvars import Context
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_tavus.api.errors import ConfigurationError
from airflow_provider_tavus.callbacks.journal import HEAD_KEY, RECENT_KEY, length, since
from airflow_provider_tavus.callbacks.settings import callback_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_tavus.callbacks.settings import CallbackSettings

log = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two looks into the journal."""

PAUSE_AFTER_A_FAILURE = 10.0

REMEMBERED = 10_000
"""How many ids are remembered as having had a callback, the last ones."""


class CallbackReader:
    """
    Tells its subscribers which conversations had a callback.

    It reads while it has subscribers. The first reading tells of everything that is in the journal, so that what came
    while no triggerer ran is not lost.

    :param read: returns what the journal's asset has under a key, or None.
    :param pause: seconds between two looks.
    """

    def __init__(self, read: Callable[[str], Awaitable[Any]], pause: float = PAUSE) -> None:
        self._read = read
        self._pause = pause
        self._subscribers: list[Callable[[Sequence[str]], None]] = []
        self._came: dict[str, float] = {}
        self._head: object = None
        self._position = 0
        self._fails = False
        self._running: asyncio.Task[None] | None = None

    def subscribe(self, tell: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        """Let ``tell`` be called with the ids of which callbacks came; what is returned ends that."""
        self._subscribers.append(tell)
        if self._running is None:
            # It outlives whoever happens to be the first, and is not to write into that one's log.
            self._running = asyncio.create_task(self._run(), context=Context())

        def unsubscribe() -> None:
            if tell in self._subscribers:
                self._subscribers.remove(tell)

        return unsubscribe

    def came(self, conversation_id: str) -> bool:
        """Say whether a callback of this conversation is known to have come, of whatever event."""
        return conversation_id in self._came

    def last_came(self, conversation_id: str) -> float:
        """Return when, in epoch seconds, it was last learned of a callback of this conversation; 0 is never."""
        return self._came.get(conversation_id, 0.0)

    async def _run(self) -> None:
        try:
            # It is not cancelled when the last one leaves: a question to Airflow is better not left unanswered.
            while self._subscribers:
                await self._look_and_pause()
        finally:
            self._running = None

    async def _look_and_pause(self) -> None:
        try:
            await self._look()
        except Exception as fault:
            # Whatever it is: it is to break no wait, which goes on without callbacks.
            if not self._fails:
                log.warning(
                    "The journal of callbacks cannot be read: waits go by their poll intervals meanwhile. %s: %s",
                    type(fault).__name__,
                    fault,
                )
            self._fails = True
            await asyncio.sleep(PAUSE_AFTER_A_FAILURE)
        else:
            if self._fails:
                log.info("The journal of callbacks can be read again.")
            self._fails = False
            await asyncio.sleep(self._pause)

    async def _look(self) -> None:
        head = await self._read(HEAD_KEY)
        if head != self._head:
            recent = await self._read(RECENT_KEY)
            ids, some_were_lost = since(recent, self._position)
            if some_were_lost and self._position:
                log.info("More callbacks came than the journal holds: the others are found by polling.")
            self._position = length(recent)
            self._head = head
            self._tell(list(dict.fromkeys(ids)))

    def _tell(self, ids: Sequence[str]) -> None:
        for one in ids:
            self._came.pop(one, None)
            self._came[one] = time.time()
        for oldest in list(self._came)[:-REMEMBERED]:
            del self._came[oldest]
        for tell in list(self._subscribers):
            tell(ids)


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, CallbackReader] = WeakKeyDictionary()


def reader_of_this_loop() -> CallbackReader | None:
    """Return the reader of the running event loop, or None where there are no callbacks (see :func:`prepare`)."""
    settings = prepare()
    if settings is None:
        return None
    loop = asyncio.get_running_loop()
    if loop not in _readers:
        _readers[loop] = CallbackReader(_reading(settings.asset))
    return _readers[loop]


@cache
def prepare() -> CallbackSettings | None:
    """
    Read the configuration, once, which can stop an event loop: Airflow may ask a command or a vault for a token.

    :return: None where callbacks are not configured, cannot be used as they are, or below Airflow 3.3.
    """
    if not AIRFLOW_V_3_3_PLUS:
        return None
    try:
        return callback_settings()
    except ConfigurationError as error:
        log.warning("Waits go by their poll intervals, without callbacks: %s", error)
        return None


def _reading(asset: str) -> Callable[[str], Awaitable[Any]]:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    return AssetStateStoreAccessor(name=asset).aget
