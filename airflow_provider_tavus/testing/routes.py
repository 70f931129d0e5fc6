"""The calls by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

STOCK = {"pals": "pal", "personas": "persona", "faces": "face", "replicas": "replica"}
"""The collections that clients probe with, and what a row of each is; pals are personas, faces replicas."""

NAMES = ("create", "list", "get", "end", "delete", *STOCK, "method_not_allowed", "unknown")
"""What a request can be for; the last two are no calls."""


class Route(NamedTuple):
    """
    Which call a request means.

    :param name: the call; ``method_not_allowed`` and ``unknown`` are none.
    :param conversation_id: the conversation that it is about, if it is about one.
    :param allowed: the methods that its path knows.
    """

    name: str
    conversation_id: str | None = None
    allowed: tuple[str, ...] = ()


def checked_route(name: str | None) -> str | None:
    """
    Return the name of a call, or None for all of them.

    :raises ValueError: if there is no such call; it would never be met, and nobody would learn why.
    """
    if name is not None and name not in NAMES:
        raise ValueError(f"no call is named {name!r}; there is {', '.join(NAMES)}")
    return name


def route_of(method: str, segments: list[str]) -> Route:
    """
    Return which call a request means.

    :param segments: the path's segments, decoded.
    """
    calls, conversation_id = _calls_at(segments)
    if not calls:
        return Route("unknown")
    return Route(calls.get(method, "method_not_allowed"), conversation_id, tuple(calls))


def _calls_at(segments: list[str]) -> tuple[Mapping[str, str], str | None]:
    """Return the calls at a path by their method, and the conversation that the path names."""
    match segments:
        case ["v2", "conversations"]:
            return {"GET": "list", "POST": "create"}, None
        case ["v2", "conversations", conversation_id]:
            return {"GET": "get", "DELETE": "delete"}, conversation_id
        case ["v2", "conversations", conversation_id, "end"]:
            return {"POST": "end"}, conversation_id
        case ["v2", stock] if stock in STOCK:
            return {"GET": stock}, None
        case _:
            return {}, None
