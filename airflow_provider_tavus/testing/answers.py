"""
What the box answers, as values: a status, a body and headers, nothing of a socket.

The error bodies are those that https://docs.tavus.io documents or that live calls have shown; note that the
text sits in ``error`` for some and in ``message`` for others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JSON = "application/json"
HTML = "text/html; charset=utf-8"

EDGE_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
NOT_JSON = "upstream connect error or disconnect/reset before headers"


@dataclass(frozen=True)
class Answer:
    """
    An HTTP answer.

    :param status: the HTTP status.
    :param body: the bytes of the body, possibly none.
    :param headers: headers beside Content-Length.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer whose body is JSON."""
    return Answer(status, json.dumps(body).encode(), {"Content-Type": JSON, **(headers or {})})


def html_answer(status: int, title: str) -> Answer:
    """Return a page of the kind that comes from the edge, before Tavus itself."""
    return Answer(status, EDGE_PAGE.format(title=title).encode(), {"Content-Type": HTML})


def not_json_answer(status: int) -> Answer:
    """Return text that claims to be JSON."""
    return Answer(status, NOT_JSON.encode(), {"Content-Type": JSON})


def bad_request(text: str) -> Answer:
    """Return a 400 with the text in ``error``."""
    return json_answer({"error": text}, 400)


def method_not_allowed(allowed: Sequence[str]) -> Answer:
    """Return a 405 that says which methods would do."""
    return json_answer({"message": "Method Not Allowed"}, 405, {"Allow": ", ".join(allowed)})


INVALID_ID = bad_request("Invalid conversation_id")
INVALID_KEY = json_answer({"message": "Invalid access token"}, 401)
OUT_OF_CREDITS = json_answer({"message": "The user is out of conversational credits"}, 402)
TOO_MANY_CONVERSATIONS = json_answer({"message": "User has reached maximum concurrent conversations"}, 400)
NOT_FOUND = json_answer({"message": "Not Found"}, 404)

_TYPICAL = {
    400: INVALID_ID,
    401: INVALID_KEY,
    402: OUT_OF_CREDITS,
    403: html_answer(403, "403 Forbidden"),
    404: NOT_FOUND,
    429: json_answer({"error": "Too many requests"}, 429),
    500: json_answer({"message": "Internal server error"}, 500),
    502: not_json_answer(502),
    503: html_answer(503, "503 Service Temporarily Unavailable"),
    504: html_answer(504, "504 Gateway Time-out"),
}


def typical_answer(status: int) -> Answer:
    """Return what a status usually comes with; HTML and broken JSON among it."""
    return _TYPICAL.get(status) or json_answer({"message": f"Status {status}"}, status)
