"""
What Tavus sends, read leniently: no oddity of one field costs the others, and what is unknown is kept.

Which oddities: null, missing and empty fields, the old and the new name of one thing, times as text or as
epoch numbers, events and turns without their usual fields (https://docs.tavus.io, "Get Conversation" and
"Webhooks and Callbacks"). Imported only where an answer is read: pydantic is not to be paid for by a DAG file.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from airflow_provider_tavus.api import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable


Text = Annotated[str | None, BeforeValidator(lenient.text)]
Number = Annotated[float | None, BeforeValidator(lenient.number)]
Moment = Annotated[datetime | None, BeforeValidator(lenient.moment)]


class Received(BaseModel):
    """Base of all that Tavus sends. Its repr and its errors show no value: a value can be what somebody said."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, populate_by_name=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show nothing but what a subclass names."""
        return ()


class Turn(Received):
    """One turn of a transcript. All but ``role`` and ``content`` come only where available."""

    role: Text = None
    content: Any = None
    timestamp: Moment = None
    seconds_from_start: Number = None
    duration: Number = None
    inference_id: Text = None
    tool_calls: Any = None
    tool_call_id: Text = None

    @classmethod
    def from_json(cls, turn: Any) -> Turn:
        """Read one turn; what is no object becomes a turn's content, so that no other turn moves."""
        return cls.model_validate(turn) if isinstance(turn, dict) else cls(content=turn)


class Event(Received):
    """One entry of a conversation's ``events``: what happened, when, and its properties as they came."""

    event_type: Text = None
    timestamp: Moment = None
    properties: Annotated[dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})] = (
        Field(default_factory=dict)
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show the kind of event."""
        return [("event_type", self.event_type)]


def _objects(value: Any) -> list[Any] | None:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else None


OLDER_NAMES = {"face_id": "replica_id", "pal_id": "persona_id"}
"""What was called otherwise before 2026."""


class Conversation(Received):
    """
    A conversation as one GET, or one row of the list, tells of it.

    ``events`` is None where none were sent, as in a GET without ``verbose``. ``face_id`` and ``pal_id`` are read
    from ``replica_id`` and ``persona_id`` as well, their names before 2026, where the newer name tells nothing.
    """

    conversation_id: str
    conversation_name: Text = None
    conversation_url: Text = None
    callback_url: Text = None
    status: Annotated[
        Text, BeforeValidator(lambda value: value.strip().lower() if isinstance(value, str) else value)
    ] = None
    face_id: Text = Field(default=None, validation_alias=AliasChoices("face_id", OLDER_NAMES["face_id"]))
    pal_id: Text = Field(default=None, validation_alias=AliasChoices("pal_id", OLDER_NAMES["pal_id"]))
    created_at: Moment = None
    updated_at: Moment = None
    events: Annotated[list[Event] | None, BeforeValidator(_objects)] = None

    @model_validator(mode="before")
    @classmethod
    def _without_names_that_tell_nothing(cls, sent: Any) -> Any:
        # Of two names of one thing pydantic takes the first that is there, whatever it holds.
        if not isinstance(sent, dict) or not any(old in sent for old in OLDER_NAMES.values()):
            return sent
        return {name: value for name, value in sent.items() if value is not None or name not in OLDER_NAMES}

    @classmethod
    def from_json(cls, body: Any) -> Conversation:
        """
        Read a conversation.

        :raises ValueError: if this is no object with a ``conversation_id``.
        """
        return cls.model_validate(body)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show which conversation it is and its status."""
        return [("conversation_id", self.conversation_id), ("status", self.status)]


def _rows(value: Any) -> list[Any] | None:
    rows = _objects(value)
    return rows and [row for row in rows if isinstance(row.get("conversation_id"), str)]


class ConversationPage(Received):
    """
    One page of the list; rows that name no conversation are left out.

    A short page is no proof that it is the last: the order is undocumented and ``limit`` may be capped.

    :param rows: the conversations, without their events.
    :param row_count: how many rows there were, with those that name no conversation.
    :param total_count: how many there are on all pages, if Tavus says.
    """

    rows: Annotated[list[Conversation], BeforeValidator(_rows)] = Field(validation_alias="data")
    row_count: Annotated[int, BeforeValidator(lambda value: len(value) if isinstance(value, list) else 0)] = Field(
        default=0, validation_alias="data"
    )
    total_count: Annotated[int | None, BeforeValidator(lenient.number)] = None

    @classmethod
    def from_json(cls, body: Any) -> ConversationPage:
        """
        Read a page.

        :raises ValueError: if this is no object with a list under ``data``.
        """
        return cls.model_validate(body)
