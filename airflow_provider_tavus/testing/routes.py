"""The calls by name."""

from __future__ import annotations

STOCK = {"pals": "pal", "personas": "persona", "faces": "face", "replicas": "replica"}
"""The collections that clients probe with, and what a row of each is; pals are personas, faces replicas."""


def route_of(method: str, segments: list[str]) -> tuple[str, str | None]:
    """Return the name of the call that a path means, and the conversation that it is about.

    :param segments: the path's segments, decoded.
    """
    match method, segments:
        case "POST", ["v2", "conversations"]:
            return "create", None
        case "GET", ["v2", "conversations"]:
            return "list", None
        case "GET", ["v2", "conversations", conversation_id]:
            return "get", conversation_id
        case "DELETE", ["v2", "conversations", conversation_id]:
            return "delete", conversation_id
        case "POST", ["v2", "conversations", conversation_id, "end"]:
            return "end", conversation_id
        case "GET", ["v2", stock] if stock in STOCK:
            return stock, None
        case _, ["v2", "conversations"] | ["v2", "conversations", _] | ["v2", "conversations", _, "end"]:
            return "method_not_allowed", None
        case _, ["v2", stock] if stock in STOCK:
            return "method_not_allowed", None
        case _:
            return "unknown", None
