"""The box on a socket: records each request, lets trouble meet it, and carries the answer."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from airflow_provider_tavus.testing.record import SECRET_HEADERS, RequestRecord, without
from airflow_provider_tavus.testing.service import Request, Service, route_of
from airflow_provider_tavus.testing.troubles import INSTEAD_OF_WORK, Trouble, Troubles
from airflow_provider_tavus.testing.wire import never_answer, reset, send

if TYPE_CHECKING:
    import threading

    from airflow_provider_tavus.testing.answers import Answer

AdminHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server:
    """Serves a :class:`Service` over HTTP.

    :param lock: held while the world, the troubles or the record are touched; other threads touch them too.
    :param admin: answers what lies under ``/_box/``.
    """

    def __init__(
        self, service: Service, troubles: Troubles, lock: threading.RLock, admin: AdminHandler
    ) -> None:
        self.requests: list[RequestRecord] = []
        self._service = service
        self._troubles = troubles
        self._lock = lock
        self._admin = admin

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port."""
        self._closing = asyncio.Event()
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, handler_cancellation=True), handle_signals=False
        )
        await self._runner.setup()
        self._listening = _listen(host, port)
        self._port = int(self._listening.getsockname()[1])
        assert self._runner.server is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server, sock=self._listening
        )
        return self._port

    async def stop(self) -> None:
        """Stop listening and let go of every connection."""
        self._server.close()
        self._closing.set()
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        segments = [unquote(segment) for segment in request.rel_url.raw_path.split("/")[1:]]
        if segments[0] == "_box":
            return await self._admin(request)
        route, conversation_id = route_of(request.method, segments)
        body = await request.read()
        with self._lock:
            record = self._recorded(request, route, conversation_id, body)
            met = self._troubles.meeting(route, conversation_id, record.box_time)
        delay = sum(trouble.seconds for trouble in met if trouble.kind == "latency")
        if delay:
            await asyncio.sleep(delay)
        trouble = next((trouble for trouble in met if trouble.kind != "latency"), None)
        answer = self._answer(
            Request(request.method, route, request.query, conversation_id, body), request, trouble
        )
        if answer is None:
            await self._no_answer(request, hangs=trouble is not None and _hangs(trouble))
            return web.Response(status=503)
        record.status = answer.status
        on_the_wire = trouble if trouble is not None and trouble.kind in {"cut", "drip"} else None
        response = await send(request, answer, on_the_wire)
        record.seconds = time.monotonic() - record.monotonic
        return response

    def _answer(self, call: Request, request: web.BaseRequest, trouble: Trouble | None) -> Answer | None:
        """Do the work unless the trouble prevents it; None is no answer, whether the work was done or not."""
        if trouble is not None and trouble.kind in INSTEAD_OF_WORK:
            return None if trouble.kind in {"reset", "hang"} else trouble.answer()
        with self._lock:
            answer = self._service.answer(call, request.headers.get("x-api-key"))
        return None if trouble is not None and trouble.kind == "lost_answer" else answer

    async def _no_answer(self, request: web.BaseRequest, *, hangs: bool) -> None:
        if hangs:
            await never_answer(request, self._closing)
        else:
            reset(request)

    def _recorded(
        self, request: web.BaseRequest, route: str, conversation_id: str | None, body: bytes
    ) -> RequestRecord:
        secrets = {self._service.account.api_key, request.headers.get("x-api-key", "")}
        record = RequestRecord(
            monotonic=time.monotonic(),
            wall=time.time(),
            box_time=self._service.clock.now(),
            method=request.method,
            route=route,
            path=without(secrets, request.path),
            query={name: without(secrets, text) for name, text in request.query.items()},
            conversation_id=conversation_id and without(secrets, conversation_id),
            headers={
                name.lower(): without(secrets, text)
                for name, text in request.headers.items()
                if name.lower() not in SECRET_HEADERS
            },
            body=_json_or_none(without(secrets, body.decode(errors="replace"))),
        )
        self.requests.append(record)
        return record


def _hangs(trouble: Trouble) -> bool:
    return trouble.kind == "hang" or trouble.hangs


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=512)
    listening.setblocking(False)
    return listening
