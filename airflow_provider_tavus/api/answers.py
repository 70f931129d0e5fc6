"""From an HTTP answer to the value it carries, or to the error it means. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_tavus.api import errors
from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.api.retry import retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.api.calls import Call

T = TypeVar("T")

ERROR_BY_STATUS: dict[int, type[errors.ApiError]] = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    402: errors.OutOfCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    408: errors.RequestTimeoutError,
    422: errors.InvalidRequestError,
    429: errors.RateLimitError,
}

LONGEST_REASON = 200
"""Characters of Tavus' own words that an error repeats."""

SHORTEST_SECRET = 8
"""Characters of a text that was sent from which on an error does not repeat it: it may be a prompt or a token."""

SHORTEST_QUOTE = 16
"""Characters in a row from which on a part of it is not repeated either."""

LONGEST_ANSWER = 2000
"""Characters of Tavus' own words that are gone through at all."""

LEFT_OUT = "***"

_URL = re.compile(r"\w[\w+.-]{0,30}://\S+")
"""Bounded: whoever answers in Tavus' place may send a word of any length."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
"""As JSON and Python spell what is no plain character."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came back over HTTP.

    :param headers: by name, in whatever case.
    :param body: complete, decompressed; kept out of the repr because it can be a transcript.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def read_answer(call: Call[T], answer: Answer, *, api_key: str) -> T:
    """
    Return what ``answer`` says to ``call``.

    :param api_key: what the call was sent with; no error repeats it.
    :raises ApiError: for every status but 200 to 299.
    :raises UnreadableAnswerError: if the body is not what the call promises.
    """
    if not 200 <= answer.status < 300:
        raise _error(call, answer, api_key)
    try:
        return call.parse(call.read(answer.body) if answer.body.strip() else None)
    except ValueError as reason:
        # The reason's own words can quote the body; its class and the size say enough.
        raise errors.UnreadableAnswerError(
            f"Tavus answered {answer.status} to {call}, but {_fault(answer, reason)}.",
            conversation_id=call.conversation_id,
        ) from None


def no_answer(
    call: Call[Any], kind: type[errors.TransportError], fault: BaseException, *, never_sent: bool = False
) -> errors.TransportError:
    """Tell of a fault by its class alone: its text can hold URLs, proxies and header values."""
    what_happened = {
        errors.AnswerTimeoutError: "Tavus did not answer {call} in time ({fault}).",
        errors.ConnectionFailedError: "Tavus could not be reached for {call} ({fault}).",
        errors.UnreadableAnswerError: "The answer to {call} was cut off ({fault}).",
    }[kind]
    error = kind(what_happened.format(call=call, fault=type(fault).__name__), conversation_id=call.conversation_id)
    error.undone = never_sent
    return error


def _error(call: Call[Any], answer: Answer, api_key: str) -> errors.ApiError:
    words = _words(answer)
    # A part of the key is what a 401 could repeat.
    reason = "" if answer.status == 401 else _repeatable(call, words, api_key)
    request_id = answer.headers.get("x-request-id") or answer.headers.get("cf-ray")
    message = f"Tavus answered {answer.status} to {call}"
    message += f": {reason}" if reason else ""
    message += f" (request id {request_id})." if request_id else "."
    return _error_class(call, answer.status, words)(
        message,
        conversation_id=call.conversation_id,
        status=answer.status,
        request_id=request_id,
        retry_after=retry_after_seconds(answer.headers.get("retry-after")),
    )


def _error_class(call: Call[Any], status: int, words: str) -> type[errors.ApiError]:
    # The path that was asked for has the word conversations in it, whatever is said of it.
    reason = " ".join(word for word in words.split() if "/" not in word)
    if call.conversation_id is not None and (
        (status == 404 and "conversation" in reason.lower()) or (status == 400 and "conversation_id" in reason)
    ):
        # Documented for an unknown id is 400 {"error": "Invalid conversation_id"}, not 404. A 404 that names no
        # conversation is that of a path that is not there, or of whoever answers in Tavus' place.
        return errors.UnknownConversationError
    if call.method == "POST" and call.conversation_id is None and status == 400 and "concurren" in reason.lower():
        # Seen, not documented: {"message": "User has reached maximum concurrent conversations"}.
        return errors.ConcurrencyLimitError
    if status >= 500:
        return errors.ServerError
    return ERROR_BY_STATUS.get(status, errors.UnexpectedStatusError)


def _words(answer: Answer) -> str:
    """Return Tavus' own words, from ``error`` or ``message``, of a 4xx: what a 5xx carries is undocumented."""
    if not 400 <= answer.status < 500:
        return ""
    try:
        body = read_json(answer.body)
    except ValueError:
        return ""
    words = (body.get("error") or body.get("message")) if isinstance(body, dict) else None
    return _in_a_line(words[:LONGEST_ANSWER]) if isinstance(words, str) else ""


def _unescaped(words: str) -> str:
    pairs = _ESCAPE.sub(_character, words).encode("utf-16", "surrogatepass")
    return pairs.decode("utf-16", "replace")


def _character(escape: re.Match[str]) -> str:
    if escape[3]:
        return " " if escape[3] in "nrt" else escape[3]
    return chr(int(escape[1] or escape[2], 16))


def _repeatable(call: Call[Any], words: str, api_key: str) -> str:
    """Return Tavus' words without what they repeat of the request."""
    sent = [api_key, *sorted(map(_in_a_line, _texts(call.body)), key=len, reverse=True)]
    # What is quoted may be as it was sent, or spelt with escapes.
    kept = _without(sent, _in_a_line(_unescaped(_without(sent, words))))
    return kept[:LONGEST_REASON].rstrip(".")


def _without(sent: list[str], words: str) -> str:
    for text in sent:
        if len(text) >= SHORTEST_SECRET:
            words = words.replace(text, LEFT_OUT)
    # URLs before quotes, which would leave the rest of one that is spelt otherwise than it was sent.
    words = _URL.sub(LEFT_OUT, words)
    for text in sent:
        words = _without_quotes(text, words)
    return words


def _without_quotes(text: str, words: str) -> str:
    """Return some words without the parts of a text that they quote."""
    kept, at = "", 0
    while at < len(words):
        end = at + SHORTEST_QUOTE
        if end <= len(words) and words[at:end] in text:
            while end < len(words) and words[at : end + 1] in text:
                end += 1
            kept, at = kept + LEFT_OUT, end
        else:
            kept, at = kept + words[at], at + 1
    return kept


def _texts(body: Any) -> Iterator[str]:
    """Yield all texts of a request's body but ids, which tell what was wrong."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for name, value in body.items():
            if not str(name).endswith(("_id", "_ids")):
                yield from _texts(value)
    elif isinstance(body, list | tuple):
        for item in body:
            yield from _texts(item)


def _in_a_line(text: str) -> str:
    # What cannot be printed moves a terminal's cursor, turns the direction of what follows, and worse.
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _fault(answer: Answer, reason: ValueError) -> str:
    size = f"{len(answer.body)} bytes"
    if not answer.body.strip():
        return "the body is empty"
    if answer.body.lstrip()[:1] == b"<":
        return f"the body is HTML, not JSON ({size})"
    if isinstance(reason, json.JSONDecodeError):
        cut_off = reason.pos >= len(reason.doc.rstrip()) or reason.msg.startswith("Unterminated")
        return f"the body is {'JSON that is cut off' if cut_off else 'no JSON'} ({size})"
    return f"the body is not the JSON that the API documents ({size})"
