"""The box on a socket: records each request, lets trouble meet it, and carries the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from airflow_provider_tavus.testing.door import Door
from airflow_provider_tavus.testing.record import RequestRecord, record_of
from airflow_provider_tavus.testing.routes import route_of
from airflow_provider_tavus.testing.service import Request, Service
from airflow_provider_tavus.testing.troubles import INSTEAD_OF_WORK, JOINING, Trouble, Troubles
from airflow_provider_tavus.testing.wire import never_answer, reset, send

if TYPE_CHECKING:
    import threading

    from airflow_provider_tavus.testing.answers import Answer
    from airflow_provider_tavus.testing.listing import ListView

AdminHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server:
    """
    Serves a :class:`Service` over HTTP.

    :param lock: held while the world, the troubles or the record are touched; other threads touch them too.
    :param admin: answers what lies under ``/_box/``.
    :param on_answered: told of each request of the service once its answer is made.
    """

    def __init__(
        self,
        service: Service,
        troubles: Troubles,
        lock: threading.RLock,
        admin: AdminHandler,
        on_answered: Callable[[RequestRecord], None],
    ) -> None:
        self.requests: list[RequestRecord] = []
        self._service = service
        self._troubles = troubles
        self._lock = lock
        self._admin = admin
        self._on_answered = on_answered

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port."""
        self._closing = asyncio.Event()
        server = web.Server(self._serve, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, handle_signals=False)
        await self._runner.setup()
        self.door = Door(server, host, port)
        self.door.open()
        return self.door.port

    async def stop(self) -> None:
        """Stop listening and let go of every connection."""
        self.door.close()
        self._closing.set()
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        segments = [unquote(segment) for segment in request.rel_url.raw_path.split("/")[1:]]
        if segments[0] == "_box":
            return await self._admin(request)
        route = route_of(request.method, segments)
        # request.read() refuses more than a megabyte, unrecorded.
        body = await request.content.read()
        now, api_key = self._service.clock.now(), self._service.account.api_key
        record = record_of(request, route, body, box_time=now, api_key=api_key)
        with self._lock:
            self.requests.append(record)
            met = self._troubles.meeting(route.name, route.conversation_id, now)
        delay = sum(trouble.seconds for trouble in met if trouble.kind == "latency")
        if delay:
            await asyncio.sleep(delay)
        call = Request(route, request.query, body, self._list_view(met))
        trouble = next((trouble for trouble in met if trouble.kind not in JOINING), None)
        answer = self._answer(call, request.headers.get("x-api-key"), trouble)
        self._churn(met)
        self._on_answered(record)
        if answer is None:
            if trouble is not None and (trouble.kind == "hang" or trouble.hangs):
                await never_answer(request, self._closing)
            reset(request)
            return web.Response(status=500)
        record.status = answer.status
        response = await send(request, answer, trouble)
        record.seconds = time.monotonic() - record.monotonic
        return response

    def _answer(self, call: Request, api_key: str | None, trouble: Trouble | None) -> Answer | None:
        """Do the work unless the trouble prevents it; None is no answer, whether the work was done or not."""
        if trouble is not None and trouble.kind in INSTEAD_OF_WORK:
            return None if trouble.kind in {"reset", "hang"} else trouble.answer()
        with self._lock:
            answer = self._service.answer(call, api_key)
        return None if trouble is not None and trouble.kind == "lost_answer" else answer

    def _list_view(self, met: list[Trouble]) -> ListView:
        view = self._service.account.list_view
        for trouble in met:
            match trouble.kind:
                case "list_order":
                    view = replace(view, order=trouble.order)
                case "list_cap":
                    view = replace(view, limit_cap=trouble.limit)
                case "list_lag":
                    view = replace(view, lag=trouble.lag)
        return view

    def _churn(self, met: list[Trouble]) -> None:
        for trouble in met:
            if trouble.kind == "list_churn":
                with self._lock:
                    self._service.world.churn(
                        come=trouble.come,
                        finish=trouble.finish,
                        vanish=trouble.vanish,
                        now=self._service.clock.now(),
                    )
