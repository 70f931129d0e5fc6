"""The async client: carries calls over aiohttp."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from requests.utils import get_environ_proxies, select_proxy

from airflow_provider_tavus.api.answers import Answer, no_answer, read_answer
from airflow_provider_tavus.api.errors import (
    AnswerTimeoutError,
    ConfigurationError,
    ConnectionFailedError,
    TavusError,
    TransportError,
    UnreadableAnswerError,
)
from airflow_provider_tavus.api.retry import RetryPolicy
from airflow_provider_tavus.api.tls import tls_context

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.api.settings import ClientSettings

T = TypeVar("T")

log = logging.getLogger(__name__)

NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    UnicodeError,
)
"""Faults that come before anything of a request is sent."""


class AsyncTavusClient:
    """
    Sends calls to one account over one session, inside an ``async with`` block.

    Making one reads the CA bundle from disk, so make it outside the event loop's thread.

    :param settings: which account, and how to reach it.
    :raises ConfigurationError: if the CA bundle cannot be read, or the proxy is of a kind that cannot be used.
    """

    requests_sent = 0
    """How many requests there were, with those that were repeated."""
    bytes_received = 0
    """How long the answers' bodies were, decompressed."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._retry = RetryPolicy(retries=settings.retries)
        self._tls = tls_context(settings)
        # Looked up once: aiohttp would do it for each request, in a thread.
        self._proxy = _proxy(settings)

    async def send(self, call: Call[T], *, repeat: bool = True) -> T:
        """
        Carry out ``call`` and return its result.

        :param repeat: whether transient faults are ridden out here; False where the caller comes back anyway.
        :raises TavusError: the subclass says why.
        """
        result, _ = await self.send_and_keep(call, repeat=repeat)
        return result

    async def send_and_keep(self, call: Call[T], *, repeat: bool = True) -> tuple[T, bytes]:
        """Do what :meth:`send` does, and return the answer's body beside its result, as it was received."""
        for attempt in count(1):
            try:
                answer = await self._exchange(call)
                return read_answer(call, answer, api_key=self._settings.api_key), answer.body
            except TavusError as error:
                pause = self._retry.pause_before_retry(call, attempt, error) if repeat else None
                if pause is None:
                    raise
                log.warning("%s Trying again in %.1f s.", error, pause)
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the policy ends every call")

    async def _exchange(self, call: Call[Any]) -> Answer:
        settings = self._settings
        self.requests_sent += 1
        try:
            async with self._session.request(
                call.method,
                settings.base_url + call.path,
                params=dict(call.query),
                json=call.body,
                # aiohttp follows a redirect with our key in its headers, wherever it leads.
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                body = await response.read()
                self.bytes_received += len(body)
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as fault:
            # UnicodeError: a host that no name can be looked up of.
            raise no_answer(call, _kind(fault), fault, never_sent=isinstance(fault, NEVER_SENT)) from None
        return Answer(response.status, response.headers, body)

    async def __aenter__(self) -> AsyncTavusClient:
        """Open the session; the first call connects."""
        settings = self._settings
        self._session = aiohttp.ClientSession(
            headers=settings.headers,
            # An idle connection must be closed before its read time-out runs out: aiohttp 3.14.1 times the next
            # request on it out at once. Not longer than its own default, either.
            connector=aiohttp.TCPConnector(ssl=self._tls, keepalive_timeout=min(15.0, settings.read_timeout / 2)),
            timeout=aiohttp.ClientTimeout(
                total=settings.connect_timeout + settings.read_timeout,
                sock_connect=settings.connect_timeout,
                sock_read=settings.read_timeout,
            ),
        )
        # aiohttp would send a request again by itself when a connection breaks, at once and uncounted. It has no
        # public switch for that; its own test client uses this one.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session's connections."""
        await self._session.close()


def _proxy(settings: ClientSettings) -> str | None:
    """
    Return the proxy that requests would use: the connection's, or the environment's.

    :raises ConfigurationError: if it is of a kind that aiohttp does not know.
    """
    told = settings.proxy or select_proxy(settings.base_url, get_environ_proxies(settings.base_url))
    if not told:
        return None
    # Not parsed: what cannot be would be told with the password in it.
    proxy = told if "://" in told else f"http://{told}"
    if not proxy.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"The environment names a proxy of the kind {proxy.partition('://')[0]!r} for {settings.base_url}; a "
            "triggerer can use HTTP proxies alone. Give one in the connection's extra 'proxy', or in HTTPS_PROXY."
        )
    return proxy


def _kind(fault: Exception) -> type[TransportError]:
    if isinstance(fault, TimeoutError):
        return AnswerTimeoutError
    if isinstance(fault, aiohttp.ClientPayloadError):
        return UnreadableAnswerError
    return ConnectionFailedError
