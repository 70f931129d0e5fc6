"""
What the receiver makes of callbacks at once: events of conversations that are ready, without the triggerer.

A callback says no more than that a look may be worth it. So the conversation is read from Tavus, with the key of each
watcher's connection, and judged as the watcher does. Whatever stands in the way, the watcher finds the conversation by
itself: nothing here is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING

from airflow_provider_tavus.api.errors import NotFoundError, TavusError, UnknownConversationError
from airflow_provider_tavus.callbacks.journal import MOST_IDS
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.plugins.watchers import watchers
from airflow_provider_tavus.triggers import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.plugins.watchers import Watcher

log = logging.getLogger(__name__)

PAUSE = 0.05
"""Seconds between two rounds of looks."""
BETWEEN_LOOKS = 1.0
"""Seconds between two looks at one conversation, at least, however many callbacks come."""
KNOWN_FOR = 10.0
"""Seconds after which watchers and connections are read again."""
REST = 30.0
"""Seconds for which a connection is left alone after a fault, and all of them when many callbacks are of no use."""
MOST_UNKNOWN = 20
"""How many ids may be unknown to Tavus within such a time."""
REMEMBERED = 10_000
"""Of how many events it is remembered who has had them, the last ones."""

LEFT_TO_THEM = "Callbacks have no effect on watchers for %.0f s, which look by themselves: %s"


class AtOnce:
    """
    Takes ids in the API server's event loop, each once, and has them looked at in a thread, one after the other.

    :param look: looks at a conversation; returns the seconds for which it is to be left alone.
    """

    def __init__(self, look: Callable[[str], float] | None = None) -> None:
        self._look = look or Looks()
        self._waiting: dict[str, None] = {}
        self._looked_at: dict[str, float] = {}
        self._rests_until = 0.0
        self._running: asyncio.Task[None] | None = None

    def look_at(self, conversation_id: str) -> None:
        """Let a conversation be looked at soon, if there is room; else its watcher does."""
        if len(self._waiting) >= MOST_IDS or time.monotonic() < self._rests_until:
            return
        self._waiting[conversation_id] = None
        if self._running is None:
            # It outlives the request that happens to be the first, and has nothing of it.
            self._running = asyncio.create_task(self._look_at_all(), context=Context())

    async def _look_at_all(self) -> None:
        try:
            while self._waiting:
                for one in self._take_what_is_due():
                    # Each in a call of its own: an API server that stops waits for it, and for no more.
                    if rest := await asyncio.to_thread(self._look, one):
                        self._rests_until = time.monotonic() + rest
                        self._waiting.clear()
                        break
                await asyncio.sleep(PAUSE)
        finally:
            self._running = None

    def _take_what_is_due(self) -> list[str]:
        now = time.monotonic()
        self._looked_at = {one: at for one, at in self._looked_at.items() if now < at + BETWEEN_LOOKS}
        due = [one for one in self._waiting if one not in self._looked_at]
        for one in due:
            del self._waiting[one]
            self._looked_at[one] = now
        return due


class Looks:
    """Looks at conversations for all watchers that there are, in one thread at a time."""

    def __init__(self) -> None:
        self._hooks: dict[str, TavusHook] = {}
        self._watchers: list[Watcher] = []
        self._read_at = -KNOWN_FOR
        self._rest_until: dict[str, float] = {}
        self._unknown: deque[float] = deque(maxlen=MOST_UNKNOWN)
        self._had_event: dict[tuple[str, int], None] = {}
        """Which conversations have had the event of which watcher, by the number of its trigger."""

    def __call__(self, conversation_id: str) -> float:
        """
        Store the event of a conversation, if it is ready and somebody watches for it.

        :return: the seconds for which there should be no further look.
        """
        try:
            self._read_what_there_is()
            self._look_at(conversation_id)
        except Exception as fault:
            # SQLAlchemy's own text has the statement and all that was to be written.
            log.warning(LEFT_TO_THEM, REST, f"{type(fault).__name__}: {getattr(fault, 'orig', None) or fault}"[:300])
            return REST
        if len(self._unknown) == MOST_UNKNOWN and time.monotonic() < self._unknown[0] + REST:
            log.warning(LEFT_TO_THEM, REST, f"{MOST_UNKNOWN} callbacks were of conversations that Tavus does not know.")
            self._unknown.clear()
            return REST
        return 0.0

    def _read_what_there_is(self) -> None:
        if time.monotonic() >= self._read_at + KNOWN_FOR:
            for hook in self._hooks.values():
                hook.close()
            self._watchers = watchers()
            self._hooks = {one: TavusHook(one) for one in {watcher.trigger.tavus_conn_id for watcher in self._watchers}}
            self._read_at = time.monotonic()

    def _look_at(self, conversation_id: str) -> None:
        may_be_known = not self._hooks
        for conn_id, hook in self._hooks.items():
            waiting = self._who_waits_for(conversation_id, conn_id)
            try:
                conversation = self._read(conversation_id, conn_id, hook) if waiting else None
            except (NotFoundError, UnknownConversationError):
                continue
            may_be_known = True
            for watcher in waiting:
                if conversation:
                    self._store_if_ready(conversation, watcher)
        if not may_be_known:
            self._unknown.append(time.monotonic())

    def _who_waits_for(self, conversation_id: str, conn_id: str) -> list[Watcher]:
        """Return the watchers of a connection that have not had the event of a conversation yet, as far as known."""
        return [
            watcher
            for watcher in self._watchers
            if watcher.trigger.tavus_conn_id == conn_id and (conversation_id, watcher.trigger_id) not in self._had_event
        ]

    def _read(self, conversation_id: str, conn_id: str, hook: TavusHook) -> Conversation | None:
        """Read a conversation; None while its connection is left alone."""
        from airflow_provider_tavus.api.calls import get_conversation

        if time.monotonic() < self._rest_until.get(conn_id, 0.0):
            return None
        metrics.a_conversation_was_read()
        try:
            return hook.send(get_conversation(conversation_id, verbose=True), repeat=False)
        except (NotFoundError, UnknownConversationError):
            raise
        except TavusError as error:
            rest = max(REST, error.retry_after or 0.0)
            self._rest_until[conn_id] = time.monotonic() + rest
            log.warning(LEFT_TO_THEM, rest, error)
            return None

    def _store_if_ready(self, conversation: Conversation, watcher: Watcher) -> None:
        payload = watcher.trigger.payload_if_ready(conversation)
        if payload is not None and watcher.store_event(payload):
            metrics.an_event_was_fired()
            self._remember_who_had_it(conversation.conversation_id, watcher)

    def _remember_who_had_it(self, conversation_id: str, watcher: Watcher) -> None:
        # An asset has one event of a conversation, whichever of its watchers was the first.
        for other in self._watchers:
            if not set(watcher.asset_ids).isdisjoint(other.asset_ids):
                self._had_event[conversation_id, other.trigger_id] = None
        for oldest in list(self._had_event)[:-REMEMBERED]:
            del self._had_event[oldest]
