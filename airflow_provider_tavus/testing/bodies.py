"""
The bodies that reads of a conversation give back.

Fields are those of https://docs.tavus.io/api-reference/conversations/get-conversation and its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.testing.times import iso

if TYPE_CHECKING:
    from airflow_provider_tavus.testing.conversation import Conversation


def read_body(conversation: Conversation, now: float, *, verbose: bool) -> Any:
    """Return the body of GET /v2/conversations/{id} at ``now`` (epoch seconds)."""
    if conversation.raw is not None:
        return conversation.raw
    shape = conversation.script.shape
    body: dict[str, Any] = {"conversation_id": conversation.conversation_id}
    if shape.labels and not shape.minimal:
        body |= _labels(conversation)
    body["status"] = conversation.status(now)
    if not shape.minimal:
        body |= _names(conversation) | _times(conversation, now)
        body |= _top_level_reason(conversation, now)
    if verbose and shape.events != "missing":
        body["events"] = _events(conversation, now)
    return body


def list_row(conversation: Conversation, now: float) -> Any:
    """Return a row of GET /v2/conversations at ``now`` (epoch seconds): a read without its events."""
    if isinstance(conversation.raw, dict):
        return {key: field for key, field in conversation.raw.items() if key != "events"}
    row: dict[str, Any] = {"conversation_id": conversation.conversation_id}
    row |= _labels(conversation)
    row["status"] = conversation.status(now)
    row |= _names(conversation)
    if conversation.script.shape.list_times:
        return row | _times(conversation, now)
    return row | {"created_at": "", "updated_at": ""}


def create_body(conversation: Conversation, now: float, *, meeting_token: str | None) -> dict[str, Any]:
    """Return the answer of POST /v2/conversations; a private room's holds a ``meeting_token``."""
    body = {
        "conversation_id": conversation.conversation_id,
        "conversation_name": conversation.name,
        "conversation_url": conversation.url,
        "status": conversation.status(now),
        "callback_url": conversation.callback_url,
        "created_at": iso(conversation.created_at),
    }
    return body if meeting_token is None else body | {"meeting_token": meeting_token}


def _labels(conversation: Conversation) -> dict[str, Any]:
    return {
        "conversation_name": conversation.name,
        "conversation_url": conversation.url,
        "callback_url": conversation.callback_url,
    }


def _names(conversation: Conversation) -> dict[str, str]:
    match conversation.script.shape.names:
        case "old":
            return {"replica_id": conversation.replica_id, "persona_id": conversation.persona_id}
        case "new":
            return {"face_id": conversation.replica_id, "pal_id": conversation.persona_id}
        case "none":
            return {}


def _times(conversation: Conversation, now: float) -> dict[str, str]:
    fractions = conversation.script.shape.event_fractions
    return {
        "created_at": iso(conversation.created_at, fractions=fractions),
        "updated_at": iso(conversation.updated_at(now), fractions=fractions),
    }


def _top_level_reason(conversation: Conversation, now: float) -> dict[str, str | None]:
    match conversation.script.shape.top_level_reason:
        case "absent":
            return {}
        case "null":
            return {"shutdown_reason": None}
        case "told":
            return {"shutdown_reason": conversation.shutdown_reason if conversation.is_over(now) else None}


def _events(conversation: Conversation, now: float) -> list[dict[str, Any]] | None:
    match conversation.script.shape.events:
        case "null":
            return None
        case "list":
            return conversation.events(now)
        case _:
            return []
