"""
What is asked of a conversation and its events, whoever has read them.

That is :mod:`api.models`, or :mod:`collect.sent`, which does without pydantic. The fields mean the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class Event(Protocol):
    """As :class:`.api.models.Event`."""

    @property
    def event_type(self) -> str | None: ...
    @property
    def timestamp(self) -> datetime | None: ...
    @property
    def properties(self) -> dict[str, Any]: ...
    @property
    def model_extra(self) -> dict[str, Any] | None: ...


class Conversation(Protocol):
    """As :class:`.api.models.Conversation`."""

    @property
    def conversation_id(self) -> str: ...
    @property
    def conversation_name(self) -> str | None: ...
    @property
    def status(self) -> str | None: ...
    @property
    def face_id(self) -> str | None: ...
    @property
    def pal_id(self) -> str | None: ...
    @property
    def created_at(self) -> datetime | None: ...
    @property
    def updated_at(self) -> datetime | None: ...
    @property
    def events(self) -> Sequence[Event] | None: ...
    @property
    def model_extra(self) -> dict[str, Any] | None: ...
