"""
A conversation as Tavus sent it, read as :mod:`api.models` reads it, without pydantic.

Tables are made by a process that is started for it, and which would take half of its start to import pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_tavus.api.lenient import moment, text

if TYPE_CHECKING:
    from datetime import datetime


class SentEvent(NamedTuple):
    """What :class:`.api.models.Event` is."""

    event_type: str | None
    timestamp: datetime | None
    properties: dict[str, Any]
    model_extra: dict[str, Any]

    def __repr__(self) -> str:
        """Show the kind of event: the rest can be what somebody said."""
        return f"SentEvent(event_type={self.event_type!r})"


class SentConversation(NamedTuple):
    """What :class:`.api.models.Conversation` is, but for the URLs, which are in no table."""

    conversation_id: str
    conversation_name: str | None
    status: str | None
    face_id: str | None
    pal_id: str | None
    created_at: datetime | None
    updated_at: datetime | None
    events: list[SentEvent] | None
    model_extra: dict[str, Any]

    def __repr__(self) -> str:
        """Show which conversation it is and its status."""
        return f"SentConversation(conversation_id={self.conversation_id!r}, status={self.status!r})"

    @classmethod
    def from_json(cls, sent: Any) -> SentConversation:
        """
        Read a conversation.

        :raises ValueError: if this is no object with a ``conversation_id``.
        """
        if not isinstance(sent, dict) or not isinstance(sent.get("conversation_id"), str):
            raise ValueError("This is no conversation.")
        status, events = sent.get("status"), sent.get("events")
        face_id, pal_id = _told(sent, "face_id", "replica_id"), _told(sent, "pal_id", "persona_id")
        return cls(
            conversation_id=sent["conversation_id"],
            conversation_name=text(sent.get("conversation_name")),
            status=status.strip().lower() if isinstance(status, str) else text(status),
            face_id=text(sent.get(face_id)),
            pal_id=text(sent.get(pal_id)),
            created_at=moment(sent.get("created_at")),
            updated_at=moment(sent.get("updated_at")),
            events=[_event(event) for event in events if isinstance(event, dict)] if isinstance(events, list) else None,
            model_extra=_beyond(sent, _FIELDS | {face_id, pal_id}),
        )


_FIELDS = {*SentConversation._fields, "conversation_url", "callback_url"} - {"model_extra"}
_EVENT_FIELDS = set(SentEvent._fields) - {"model_extra"}


def _told(sent: dict[str, Any], name: str, older_name: str) -> str:
    return older_name if sent.get(name) is None and older_name in sent else name


def _event(sent: dict[str, Any]) -> SentEvent:
    properties = sent.get("properties")
    return SentEvent(
        text(sent.get("event_type")),
        moment(sent.get("timestamp")),
        properties if isinstance(properties, dict) else {},
        _beyond(sent, _EVENT_FIELDS),
    )


def _beyond(sent: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name not in fields}
