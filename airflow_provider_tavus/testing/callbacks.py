"""
Callbacks: every event of a conversation that has a ``callback_url`` is POSTed there, well or badly.

Bodies are those of https://docs.tavus.io/sections/webhooks-and-callbacks. Neither a signature nor retries nor
an order are documented, so there are none that a receiver could count on.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
from collections import Counter, deque
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from airflow_provider_tavus.testing.times import iso

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from airflow_provider_tavus.testing.clocks import Clock
    from airflow_provider_tavus.testing.conversation import Conversation
    from airflow_provider_tavus.testing.events import ScriptedEvent
    from airflow_provider_tavus.testing.world import World

PATIENCE = 5.0
"""How long a receiver may take to answer, in real seconds."""


@dataclass
class CallbackHabits:
    """
    How callbacks are sent; seconds are those of the box's clock.

    :param delay: how late each one is.
    :param scatter: by how much more each one may be late, by chance; so they come out of order.
    :param twice: how likely each one comes twice, from 0 to 1.
    :param lost: how likely each one never comes, from 0 to 1.
    :param lost_events: types of events whose callbacks never come.
    :param leave_loopback: whether to call other machines, too. If not, their callbacks count as failed.
    """

    delay: float = 0.0
    scatter: float = 0.0
    twice: float = 0.0
    lost: float = 0.0
    lost_events: tuple[str, ...] = ()
    leave_loopback: bool = False


@dataclass(frozen=True)
class Delivery:
    """
    A callback that was sent.

    :param box_time: when, in epoch seconds of the box's clock.
    :param status: what the receiver answered; None if nobody did.
    """

    conversation_id: str
    event_type: str
    box_time: float
    status: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Planned:
    due: float
    key: tuple[str, str, int, int]
    url: str
    body: dict[str, Any]


class Courier:
    """
    Sends the callbacks of a world when they are due.

    :param lock: held while the world is touched.
    :param seed: of what happens by chance.
    """

    def __init__(self, world: World, clock: Clock, lock: threading.RLock, seed: int = 0) -> None:
        self.habits = CallbackHabits()
        self.sent: list[Delivery] = []
        self._world = world
        self._clock = clock
        self._lock = lock
        self._seed = seed
        self._done: set[tuple[str, str, int, int]] = set()
        self._changed = asyncio.Event()
        self._progress = asyncio.Event()

    def look_again(self) -> None:
        """Take notice of a change in the world; from within the loop only."""
        self._changed.set()

    async def run(self) -> None:
        """Send what is due, for ever."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
            while True:
                self._changed.clear()
                # To plan takes long where there are many conversations: only when something has changed.
                habits, planned = replace(self.habits), deque(self._planned())
                while True:
                    if planned and planned[0].due <= self._clock.now():
                        await self._send(session, planned.popleft())
                    else:
                        await self._wait(planned[0].due if planned else None)
                    if self._changed.is_set() or habits != self.habits:
                        break

    async def settled(self) -> None:
        """Return once everything that is due by now has been sent."""
        self.look_again()
        while any(callback.due <= self._clock.now() for callback in self._planned()):
            self._progress.clear()
            await self._progress.wait()

    async def _wait(self, moment: float | None) -> None:
        """Wait for a moment of the box's clock, if there is one, or for a change in the world."""
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if moment is not None:
            waiting.append(asyncio.ensure_future(self._clock.wait_until(moment)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()

    def _planned(self) -> list[_Planned]:
        """Return the callbacks that have not been sent, the next one first."""
        with self._lock:
            called = [conversation for conversation in self._world if conversation.callback_url]
            planned = [callback for conversation in called for callback in self._callbacks(conversation)]
        return sorted(planned, key=lambda callback: callback.due)

    def _callbacks(self, conversation: Conversation) -> Iterator[_Planned]:
        seen: Counter[str] = Counter()
        for moment, event in conversation.timeline():
            seen[event.event_type] += 1
            occurrence = conversation.conversation_id, event.event_type, seen[event.event_type]
            luck = random.Random(f"{self._seed} {occurrence}")  # noqa: S311 - a play needs no secrecy
            if luck.random() < self.habits.lost or event.event_type in self.habits.lost_events:
                continue
            copies = 2 if luck.random() < self.habits.twice else 1
            for copy in range(copies):
                due = moment + self.habits.delay + luck.random() * self.habits.scatter
                key = (*occurrence, copy)
                if key not in self._done:
                    yield _Planned(due, key, conversation.callback_url, callback_body(conversation, moment, event))

    async def _send(self, session: aiohttp.ClientSession, callback: _Planned) -> None:
        status = None
        if self.habits.leave_loopback or is_loopback(callback.url):
            # Whatever breaks: without the courier, whoever waits for callbacks would wait for ever.
            with contextlib.suppress(Exception):
                # A redirection is an answer: to follow it could lead away from this machine.
                async with session.post(callback.url, json=callback.body, allow_redirects=False) as answer:
                    status = answer.status
        conversation_id, event_type, *_ = callback.key
        self.sent.append(Delivery(conversation_id, event_type, self._clock.now(), status))
        self._done.add(callback.key)
        self._progress.set()


def callback_body(conversation: Conversation, moment: float, event: ScriptedEvent) -> dict[str, Any]:
    """Return what is POSTed for an event that happened at ``moment`` (epoch seconds)."""
    properties = dict(conversation.properties_of(event) or {})
    if event.event_type == "system.shutdown":
        # Callbacks always say shutdown_reason, whatever a read says.
        reason = properties.pop("reason", None)
        properties |= {} if reason is None else {"shutdown_reason": reason}
    if event.event_type in {"system.shutdown", "application.transcription_ready"}:
        properties = {"replica_id": conversation.replica_id} | properties
    message_type = event.event_type.split(".")[0]
    body = {
        "properties": properties,
        "conversation_id": conversation.conversation_id,
        "webhook_url": conversation.callback_url,
        "event_type": event.event_type,
        "message_type": message_type,
    }
    return body if message_type == "conversation" else body | {"timestamp": iso(moment)}


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
