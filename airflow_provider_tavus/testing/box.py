"""Tavus in a box: the fake service as Python sees it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.testing.account import Account
from airflow_provider_tavus.testing.admin import Admin
from airflow_provider_tavus.testing.callbacks import CallbackHabits, Courier, Delivery
from airflow_provider_tavus.testing.clocks import Clock, ManualClock, RealClock, epoch_seconds
from airflow_provider_tavus.testing.conversation import DEFAULT_PERSONA, DEFAULT_REPLICA, Conversation
from airflow_provider_tavus.testing.hosting import Hosted
from airflow_provider_tavus.testing.record import RequestRecord, chosen
from airflow_provider_tavus.testing.routes import checked_route
from airflow_provider_tavus.testing.script import Script
from airflow_provider_tavus.testing.server import Server
from airflow_provider_tavus.testing.service import Service
from airflow_provider_tavus.testing.troubles import Kind, Trouble, Troubles
from airflow_provider_tavus.testing.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class TavusBox(Hosted):
    """
    A stateful Tavus on loopback.

    ``async with TavusBox() as box`` serves it in the running event loop; ``with TavusBox.in_thread() as box``
    serves it beside code that blocks. Every method may be called from any thread.

    :param api_key: the key that it accepts in ``x-api-key``.
    :param clock: the box's time; real time if not given.
    :param seed: of ids and of whatever happens by chance; the same seed gives the same world.
    :param host: where it listens.
    :param port: where it listens; 0 is any free port.
    :param open_admin: whether ``/_box/`` answers others than this machine.
    :param account: further properties of the account, such as ``concurrency_limit``: see
        :class:`~airflow_provider_tavus.testing.account.Account`.
    """

    def __init__(
        self,
        api_key: str = "test-key",
        *,
        clock: Clock | None = None,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        open_admin: bool = False,
        **account: Any,
    ) -> None:
        super().__init__()
        self.clock: Clock = clock or RealClock()
        self.seed = seed
        self.account = Account(api_key=api_key, **account)
        self.world = World(seed)
        self._host = host
        self._port = port
        self._lock = threading.RLock()
        self._troubles = Troubles(seed)
        self._courier = Courier(self.world, self.clock, self._lock, seed)
        self._pace: tuple[str | None, float] | None = None
        self._server = Server(
            Service(self.world, self.account, self.clock, seed),
            self._troubles,
            self._lock,
            Admin(self, open_to_all=open_admin).answer,
            self._answered,
        )

    @property
    def base_url(self) -> str:
        """The address without ``/v2``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The key that the box accepts; set another one to rotate it."""
        return self.account.api_key

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        self.account.api_key = api_key

    def add(
        self,
        script: Script | None = None,
        *,
        conversation_id: str | None = None,
        created_at: float | datetime | None = None,
        name: str | None = None,
        callback_url: str = "",
        replica_id: str = DEFAULT_REPLICA,
        persona_id: str = DEFAULT_PERSONA,
    ) -> str:
        """
        Let a conversation exist, without a create call.

        :param script: what happens in it; a finished call if not given.
        :param conversation_id: its id; made up from the seed if not given.
        :param created_at: epoch seconds or an aware datetime; the box's now if not given. Put it in the
            past for a call that has long ended, in the future for one that somebody is yet to start.
        :return: its id.
        """
        with self._lock:
            conversation = Conversation(
                conversation_id=conversation_id or self.world.new_id(),
                script=script or Script.finished(),
                created_at=self.clock.now() if created_at is None else epoch_seconds(created_at),
                name=name,
                callback_url=callback_url,
                replica_id=replica_id,
                persona_id=persona_id,
            )
            self.world.put(conversation)
        self._world_changed()
        return conversation.conversation_id

    def put_raw(self, conversation_id: str, body: Any) -> None:
        """Let reads of a conversation give back exactly this JSON, whatever its shape; None undoes it."""
        with self._lock:
            if conversation_id not in self.world:
                self.add(Script.active(), conversation_id=conversation_id)
            conversation = self.world.get(conversation_id)
            assert conversation is not None
            self.world.put(replace(conversation, raw=body))

    def end(self, conversation_id: str) -> None:
        """End a conversation, as its ``end`` call would."""
        with self._lock:
            self.world.end(self.conversation(conversation_id), self.clock.now())
        self._world_changed()

    def remove(self, conversation_id: str) -> None:
        """Delete a conversation, as its DELETE call would."""
        with self._lock:
            self.world.remove(self.conversation(conversation_id), self.clock.now())

    def conversation(self, conversation_id: str) -> Conversation:
        """
        Return a conversation as the box knows it.

        :raises KeyError: if there is none of that id.
        """
        with self._lock:
            conversation = self.world.get(conversation_id)
        if conversation is None:
            raise KeyError(conversation_id)
        return conversation

    def trouble(
        self,
        kind: Kind = "answer",
        *,
        route: str | None = None,
        conversation_id: str | None = None,
        starting_in: float | None = None,
        lasting: float | None = None,
        headers: Mapping[str, str] | None = None,
        **details: Any,
    ) -> Trouble:
        """
        Ask for trouble.

        :param starting_in: when it begins, in seconds of the box's clock from now; at once if not given.
        :param lasting: for how long, likewise; without end if not given.
        :param details: as for :class:`~airflow_provider_tavus.testing.troubles.Trouble`.
        :return: the trouble, which has a ``stop()`` and counts how often it ``happened``.
        """
        now = self.clock.now()
        begins = None if starting_in is None else now + starting_in
        trouble = Trouble(
            kind=kind,
            route=route,
            conversation_id=conversation_id,
            headers=headers or {},
            begins=begins,
            ends=None if lasting is None else (begins or now) + lasting,
            **details,
        )
        with self._lock:
            self._troubles.add(trouble)
        if kind == "refuse":
            trouble.on_stop = lambda: self._in_loop(self._accept)
            self._in_loop(lambda: self._refuse(trouble))
        return trouble

    def stop_troubles(self) -> None:
        """End all trouble."""
        # Not under the lock: a door that opens again needs the loop, and the loop may be waiting for the lock.
        for trouble in self._troubles:
            trouble.stop()

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request so far, oldest first."""
        with self._lock:
            return list(self._server.requests)

    def count(self, route: str | None = None, conversation_id: str | None = None, **which: Any) -> int:
        """Return how many requests there were; ``which`` as for :meth:`requests_of`."""
        return len(self.requests_of(route, conversation_id, **which))

    def requests_of(
        self, route: str | None = None, conversation_id: str | None = None, **which: Any
    ) -> list[RequestRecord]:
        """
        Return the requests of a call, of a conversation, or with whatever ``which`` names.

        That is ``status``, ``method``, ``since`` and ``until``, these two in epoch seconds of the box's
        clock.
        """
        return chosen(self.requests, route=route, conversation_id=conversation_id, **which)

    def forget_requests(self) -> None:
        """Empty the record."""
        with self._lock:
            self._server.requests.clear()

    def advance(self, seconds: float) -> float:
        """Move a clock that is moved by hand; return the box's new time in epoch seconds."""
        return self._clock_moved_by_hand().advance(seconds)

    def each_request_takes(self, seconds: float, route: str | None = None) -> None:
        """
        Let the clock that is moved by hand move by itself whenever the box has answered.

        So a client that polls makes the time pass, and an hour's call is over after a few polls.

        :param seconds: how far, in seconds of the box's clock.
        :param route: for requests of this call only.
        """
        self._clock_moved_by_hand()
        if seconds < 0:
            raise ValueError("time in the box only moves forward")
        self._pace = (checked_route(route), seconds)

    def _clock_moved_by_hand(self) -> ManualClock:
        if not isinstance(self.clock, ManualClock):
            raise TypeError("only a ManualClock can be moved by hand")
        return self.clock

    @property
    def callbacks(self) -> CallbackHabits:
        """How callbacks are sent; set its fields at any time."""
        return self._courier.habits

    @property
    def callbacks_sent(self) -> list[Delivery]:
        """Every callback so far, oldest first."""
        return list(self._courier.sent)

    def wait_for_callbacks(self) -> None:
        """Return once every callback that is due by now has been sent; from other threads than the box's."""
        self._wait_for(self._courier.settled())

    async def callbacks_settled(self) -> None:
        """Return once every callback that is due by now has been sent; from the box's own loop."""
        await self._courier.settled()

    async def _start_serving(self) -> None:
        self._port = await self._server.start(self._host, self._port)
        self._begin(self._courier.run())

    async def _stop_serving(self) -> None:
        await self._server.stop()

    def _world_changed(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._courier.look_again)

    def _answered(self, request: RequestRecord) -> None:
        if request.route in {"create", "end"}:
            self._courier.look_again()
        if self._pace is not None and self._pace[0] in {None, request.route}:
            self.advance(self._pace[1])

    def _refuse(self, trouble: Trouble) -> None:
        self._server.door.refuse()
        if trouble.ends is not None:
            self._begin(self._stop_later(trouble, trouble.ends))

    def _accept(self) -> None:
        if not any(trouble.kind == "refuse" and not trouble.stopped for trouble in self._troubles):
            self._server.door.open()

    async def _stop_later(self, trouble: Trouble, ends: float) -> None:
        await self.clock.wait_until(ends)
        trouble.stop()
