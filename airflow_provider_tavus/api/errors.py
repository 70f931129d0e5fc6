"""
What can go wrong between us and Tavus: one class per cause that a user can act on.

TavusError
├── ConfigurationError          the Airflow connection cannot be used; nothing was sent
│   └── UnreadableConnectionError  there is none, or it cannot be read at the moment
├── InvalidArgumentError        an argument cannot be used; nothing was sent
├── TransportError              no answer, or none that can be read
│   ├── ConnectionFailedError   refused, reset, unresolved, TLS or proxy trouble
│   ├── AnswerTimeoutError      the answer did not come, or not to its end, in time
│   └── UnreadableAnswerError   cut off, not JSON, or not the JSON that was asked for
└── ApiError                    Tavus answered with an error status
    ├── InvalidRequestError     400, 422
    │   ├── UnknownConversationError
    │   └── ConcurrencyLimitError
    ├── AuthenticationError     401
    ├── OutOfCreditsError       402
    ├── PermissionDeniedError   403
    ├── NotFoundError           404
    ├── RequestTimeoutError     408
    ├── RateLimitError          429
    ├── ServerError             5xx
    └── UnexpectedStatusError   any other

No message carries an API key or a word of a transcript.
"""

from __future__ import annotations

from typing import ClassVar


class TavusError(Exception):
    """
    Anything that this package raises about Tavus.

    :param message: what happened; the class adds what to do about it.
    :param conversation_id: the conversation that was asked for, if it was one.
    """

    transient: ClassVar[bool] = False
    """Whether the same request may succeed a little later, with nothing changed by the user."""

    undone: bool = False
    """Whether the request surely had no effect: it was never sent, or it was refused."""

    what_to_do: ClassVar[str] = ""

    retry_after: float | None = None
    """Seconds after which Tavus asked us to come back, if it did."""

    def __init__(self, message: str, *, conversation_id: str | None = None) -> None:
        super().__init__(f"{message} {self.what_to_do}".rstrip())
        self.what_happened = message
        self.conversation_id = conversation_id


class ConfigurationError(TavusError):
    """The Airflow connection cannot be used as it is; nothing was sent."""

    undone = True


class UnreadableConnectionError(ConfigurationError):
    """
    Airflow says that there is no such connection.

    It says the same of one that is malformed, and where a secrets backend could not be reached, which passes.
    """

    transient = True


class InvalidArgumentError(TavusError, ValueError):
    """An argument cannot be used as it is; nothing was sent."""

    undone = True


class TransportError(TavusError):
    """No answer of Tavus could be had, or none that can be read."""

    transient = True


class ConnectionFailedError(TransportError):
    """The connection could not be made or broke."""

    what_to_do = "Check the connection's host, port, proxy and CA bundle if this goes on."


class AnswerTimeoutError(TransportError):
    """The answer did not come in time."""

    what_to_do = "Raise connect_timeout or read_timeout in the connection's extra if this goes on."


class UnreadableAnswerError(TransportError):
    """The answer was cut off, is no JSON (HTML from a proxy, for example), or not the JSON that was asked for."""

    what_to_do = "A proxy or a wrong host can cause this, too; check the connection if it goes on."


class ApiError(TavusError):
    """
    Tavus answered with an error status: it refused the request, unless a subclass says otherwise.

    :param status: the HTTP status.
    :param request_id: what the answer's headers name the request, for Tavus' support.
    :param retry_after: seconds after which Tavus asked us to come back.
    """

    undone = True

    def __init__(
        self,
        message: str,
        *,
        conversation_id: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, conversation_id=conversation_id)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidRequestError(ApiError):
    """400 or 422: Tavus does not accept the request as it is."""

    what_to_do = "Correct the task's arguments; the same request will fail again."


class UnknownConversationError(InvalidRequestError):
    """Tavus knows no such conversation: a wrong id, a deleted one, or another account's."""

    what_to_do = "Check the id, that the conversation was not deleted, and that the API key is of its account."


class ConcurrencyLimitError(InvalidRequestError):
    """As many conversations are going on as the account's plan allows; it passes when one of them ends."""

    what_to_do = "Wait until one of the account's conversations has ended, or raise its plan."


class AuthenticationError(ApiError):
    """401: Tavus does not accept the API key."""

    what_to_do = "Put a valid API key into the password field of the Airflow connection."


class OutOfCreditsError(ApiError):
    """402: the account has no conversational credits left."""

    what_to_do = "Top up the Tavus account or raise its plan."


class PermissionDeniedError(ApiError):
    """403: Tavus, or something between us, refuses the request."""

    what_to_do = "Check the rights of the API key, and whether a firewall or proxy blocks this machine."


class NotFoundError(ApiError):
    """404: there is no such thing."""

    what_to_do = "Check the id and the connection's host."


class RequestTimeoutError(ApiError):
    """408: Tavus gave up waiting for the request."""

    transient = True
    undone = False


class RateLimitError(ApiError):
    """429: too many requests."""

    transient = True
    what_to_do = "Ask less often (a longer poke_interval, fewer tasks at once) if this goes on."


class ServerError(ApiError):
    """5xx: Tavus is in trouble."""

    transient = True
    undone = False


class UnexpectedStatusError(ApiError):
    """A status that the API does not document, such as a redirect."""

    undone = False
    what_to_do = "Check the connection's host."
