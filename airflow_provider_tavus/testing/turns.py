"""
The turns of a conversation and the ways in which Tavus spells them.

The fields and their variants are those of ``application.transcription_ready`` on
https://docs.tavus.io/api-reference/conversations/get-conversation and of bodies seen in the wild.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Any, Literal

from airflow_provider_tavus.testing.times import iso

TurnTimes = Literal["epoch", "iso", "absent"]


class Absent(Enum):
    """Stands for a field that a body does not have, where None would be sent as null."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True)
class Turn:
    """
    Something that is said, or done, in a conversation.

    :param role: ``user``, ``assistant``, ``system``, ``tool``, or anything else: the set is open.
    :param content: what is said; ``ABSENT`` leaves the field out, None sends null, a non-string is sent as it
        is.
    :param at: when it begins, in seconds from the conversation's creation.
    :param duration: how long it takes, in seconds; None leaves the field out.
    :param inference_id: True makes one up for an assistant's turn, None leaves it out, a text is sent as it
        is.
    :param tool_calls: the tool calls of an assistant's turn; None leaves them out.
    :param tool_call_id: which call a ``tool`` turn answers; None leaves it out.
    """

    role: str
    content: Any = ABSENT
    at: float = 0.0
    duration: float | None = None
    inference_id: str | bool | None = True
    tool_calls: tuple[dict[str, Any], ...] | None = None
    tool_call_id: str | None = None

    def body(self, created_at: float, times: TurnTimes, conversation_id: str) -> dict[str, Any]:
        """Return the turn as it stands in a transcript."""
        body: dict[str, Any] = {"role": self.role}
        if self.content is not ABSENT:
            body["content"] = self.content
        if self.tool_calls is not None:
            body["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.tool_call_id is not None:
            body["tool_call_id"] = self.tool_call_id
        if times == "absent":
            return body
        body["timestamp"] = iso(created_at + self.at) if times == "iso" else round(created_at + self.at, 2)
        if times == "epoch":
            body["seconds_from_start"] = round(self.at, 2)
            if self.duration is not None:
                body["duration"] = self.duration
        if self.inference_id is True and self.role == "assistant":
            named = blake2b(f"{conversation_id} {self.at}".encode(), digest_size=6)
            body["inference_id"] = f"inf_{named.hexdigest()}"
        elif isinstance(self.inference_id, str):
            body["inference_id"] = self.inference_id
        return body


@dataclass(frozen=True)
class RawTurn:
    """
    A turn that is sent exactly as given, such as one that is no object.

    :param value: any JSON value.
    :param at: when it enters the transcript, in seconds from the conversation's creation.
    """

    value: Any
    at: float = 0.0

    def body(self, created_at: float, times: TurnTimes, conversation_id: str) -> Any:
        """Return the value as it stands in a transcript."""
        return self.value
