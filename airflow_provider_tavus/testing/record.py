"""The record of every request that reached the box."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.testing.routes import checked_route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

    from airflow_provider_tavus.testing.routes import Route

SECRET_HEADERS = frozenset({"x-api-key", "authorization", "cookie", "proxy-authorization"})


@dataclass(eq=False, slots=True)
class RequestRecord:
    """
    A request and how it was answered. No key is in it, wherever the client put it.

    :param monotonic: when it came, on the clock of :func:`time.monotonic` in the box's process, in seconds.
    :param wall: when it came, in epoch seconds of the machine.
    :param box_time: when it came, in epoch seconds of the box's clock.
    :param method: the HTTP method.
    :param route: the call by name: create, list, get, end, delete, pals, personas, faces, replicas, or
        unknown.
    :param path: the path without the query.
    :param query: the query; of a repeated name the last.
    :param conversation_id: the conversation that the path names, if any.
    :param headers: without those that hold secrets; names in lower case.
    :param body: the JSON that was sent, or None.
    :param status: the answered status; None as long as there was none, and for ever if there never is one.
    :param seconds: how long the answer took, in real seconds.
    """

    monotonic: float
    wall: float
    box_time: float
    method: str
    route: str
    path: str
    query: Mapping[str, str]
    conversation_id: str | None
    headers: Mapping[str, str]
    body: Any = None
    status: int | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return asdict(self)


def record_of(
    request: web.BaseRequest,
    route: Route,
    body: bytes,
    *,
    box_time: float,
    api_key: str,
) -> RequestRecord:
    """Return the record of a request that has just come, with stars for the box's key and the one sent."""
    secrets = {api_key, request.headers.get("x-api-key", "")} - {""}
    return RequestRecord(
        monotonic=time.monotonic(),
        wall=time.time(),
        box_time=box_time,
        method=request.method,
        route=route.name,
        path=_without(secrets, request.path),
        query={name: _without(secrets, text) for name, text in request.query.items()},
        conversation_id=route.conversation_id and _without(secrets, route.conversation_id),
        headers=_headers(request.raw_headers, frozenset(secrets)),
        body=_json_or_none(_without(secrets, body.decode(errors="replace"))) if body else None,
    )


def chosen(
    requests: Iterable[RequestRecord],
    *,
    route: str | None = None,
    conversation_id: str | None = None,
    status: int | None = None,
    method: str | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[RequestRecord]:
    """
    Return the requests that fit everything that is given.

    :param since: came at this time or later, in epoch seconds of the box's clock.
    :param until: came before this time, likewise.
    :raises ValueError: if there is no call of the name ``route``.
    """
    checked_route(route)
    return [
        request
        for request in requests
        if (route is None or request.route == route)
        and (conversation_id is None or request.conversation_id == conversation_id)
        and (status is None or request.status == status)
        and (method is None or request.method == method)
        and (since is None or request.box_time >= since)
        and (until is None or request.box_time < until)
    ]


@lru_cache(maxsize=256)
def _headers(raw: tuple[tuple[bytes, bytes], ...], secrets: frozenset[str]) -> Mapping[str, str]:
    """Return the headers to keep; shared by the requests that send the same ones, as most clients' do."""
    decoded = ((name.decode("latin-1").lower(), text.decode("latin-1")) for name, text in raw)
    return {name: _without(secrets, text) for name, text in decoded if name not in SECRET_HEADERS}


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
