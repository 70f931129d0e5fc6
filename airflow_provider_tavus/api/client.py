"""The sync client: carries calls over requests."""

from __future__ import annotations

import logging
import ssl
import time
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from airflow_provider_tavus.api.answers import Answer, no_answer, read_answer
from airflow_provider_tavus.api.errors import (
    AnswerTimeoutError,
    ConnectionFailedError,
    TavusError,
    TransportError,
    UnreadableAnswerError,
)
from airflow_provider_tavus.api.retry import RetryPolicy
from airflow_provider_tavus.api.tls import names_a_bundle, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.api.settings import ClientSettings

T = TypeVar("T")

log = logging.getLogger(__name__)


class TavusClient:
    """
    Sends calls to one account over one session; close it, or use it in a ``with`` block.

    :param settings: which account, and how to reach it.
    :raises ConfigurationError: if the CA bundle cannot be read.
    """

    def __init__(self, settings: ClientSettings) -> None:
        if names_a_bundle(settings):
            # requests would tell of what is wrong with it as of a connection that failed, and failed for the moment.
            tls_context(settings)
        self._settings = settings
        self._retry = RetryPolicy(retries=settings.retries)
        self._session = requests.Session()
        # Where a redirect leads is not even looked at, which requests does though it is told not to follow: it stumbles
        # over what is no URL.
        self._session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
        self._session.headers.update(settings.headers)
        # With none of its own, requests would send Tavus the password that a ~/.netrc has for its host, or for any.
        self._session.auth = lambda request: request

    def send(self, call: Call[T], *, repeat: bool = True, before_each_request: Callable[[], None] = lambda: None) -> T:
        """
        Carry out ``call`` and return its result.

        :param repeat: whether transient faults are ridden out here; False where the caller comes back anyway.
        :param before_each_request: called before the request is sent, and again before it is repeated.
        :raises TavusError: the subclass says why.
        """
        for attempt in count(1):
            before_each_request()
            try:
                return read_answer(call, self._exchange(call), api_key=self._settings.api_key)
            except TavusError as error:
                pause = self._retry.pause_before_retry(call, attempt, error) if repeat else None
                if pause is None:
                    raise
                log.warning("%s Trying again in %.1f s.", error, pause)
            time.sleep(pause)
        raise AssertionError("unreachable: the policy ends every call")

    def _exchange(self, call: Call[Any]) -> Answer:
        settings = self._settings
        proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
        try:
            with self._session.request(
                call.method,
                settings.base_url + call.path,
                params=dict(call.query),
                json=call.body,
                timeout=(settings.connect_timeout, settings.read_timeout),
                # requests follows a redirect with our key in its headers, wherever it leads.
                allow_redirects=False,
                stream=True,
                proxies=proxies,
                # Given here and not to the session, where REQUESTS_CA_BUNDLE would win over it.
                verify=(settings.ca_bundle or True) if settings.verify else False,
            ) as response:
                body = self._read_body(response)
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as fault:
            # UnicodeError: a proxy's user or password that no header can carry.
            raise no_answer(call, _kind(fault), fault, never_sent=_never_sent(fault)) from None
        return Answer(response.status_code, response.headers, body)

    def _read_body(self, response: requests.Response) -> bytes:
        # A read time-out of requests starts anew with every byte that drips in; this one is for the whole answer.
        deadline = time.monotonic() + self._settings.read_timeout
        chunks = []
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
        return b"".join(chunks)

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def __enter__(self) -> TavusClient:
        """Open nothing yet: the first call connects."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what the block opened."""
        self.close()


def _kind(fault: Exception) -> type[TransportError]:
    if isinstance(fault, requests.Timeout | ReadTimeoutError):
        return AnswerTimeoutError
    # What urllib3 itself raises comes from reading the body: requests wraps what breaks before.
    if isinstance(fault, ProtocolError | DecodeError):
        return UnreadableAnswerError
    return ConnectionFailedError


def _never_sent(fault: Exception) -> bool:
    if isinstance(fault, UnicodeError | LocationParseError):
        return True
    # What urllib3 says of it stands in the first argument of what requests makes of it.
    reason = getattr(next(iter(fault.args), None), "reason", None)
    if isinstance(reason, SSLError):
        return isinstance(next(iter(reason.args), None), ssl.SSLCertVerificationError)
    if isinstance(reason, ProxyError):
        reason = reason.original_error
        if type(reason) is OSError:
            # http.client has no class of its own for a proxy that opens no tunnel.
            return str(reason).startswith("Tunnel connection failed")
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
