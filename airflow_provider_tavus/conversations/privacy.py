"""What of a conversation is not to be stored: left out or redacted before anything of it is written."""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.conversations.events import PERCEPTION_UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

PERCEPTION = ("application.perception", "application.raven")
"""How the types of events begin that tell what the camera saw (Raven is Tavus' model that looks)."""
TURNS = ("events", "properties", "transcript")
"""Where Tavus puts the turns."""
OTHER_NAMES = {"face_id": "replica_id", "pal_id": "persona_id", "replica_id": "face_id", "persona_id": "pal_id"}
"""Tavus sends one or the other for the same thing, and so what names one means both."""
BLANK = string.whitespace + "\ufeff"
BEGINS_AS_JSON = re.compile(r'[\s\ufeff\\"]*[\[{]')
NAMES_TURNS = re.compile(r'(?:transcript|role)\\*"\s*:', re.IGNORECASE)
NAMES_THE_SYSTEM = re.compile(r"""role\\*['"]\s*:\s*\\*['"]\s*system""", re.IGNORECASE)
"""In JSON, in JSON in a text of JSON, and as Python spells it."""


class RedactionError(Exception):
    """A conversation could not be redacted, so nothing of it may be stored. Its text is in no message."""


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """
    What is kept of a conversation.

    :param system_turns: keep the turns of the role ``system``: the prompt, and passages that were retrieved.
    :param perception: keep the events that tell what the camera saw.
    :param leave_out: fields to leave out, each by its names from the conversation down, with dots between them,
        such as ``callback_url`` or ``events.properties.request``. ``turns.`` stands for the way to a turn:
        ``turns.inference_id``. Of a field that has an older name, either name means both.
    :param redact: called with each conversation, as Tavus sends it but for what is left out, and returns what is
        to be stored. It may change the conversation that it is given, but has to return it. Whatever it raises,
        and whatever it returns that is no conversation with the same id, keeps that conversation from being stored.
    """

    system_turns: bool = True
    perception: bool = True
    leave_out: Collection[str] = ()
    redact: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        """Refuse what names no field."""
        if isinstance(self.leave_out, str):
            raise InvalidArgumentError(f"leave_out has to be a list of names, such as [{self.leave_out!r}].")
        for field in self.leave_out:
            if not isinstance(field, str) or not all(field.split(".")):
                raise InvalidArgumentError(
                    f"leave_out has {field!r}, which names no field: write names with dots between them."
                )
            if field == "conversation_id":
                raise InvalidArgumentError("leave_out has conversation_id, without which nothing can be stored.")
        if self.redact is not None and not callable(self.redact):
            raise InvalidArgumentError(f"redact has to be callable, and is a {type(self.redact).__name__}.")

    def prepare(self, body: bytes) -> bytes:
        """
        Return what is to be stored of a conversation: JSON with sorted keys, or the same bytes if all is kept.

        :param body: the conversation as received.
        :raises RedactionError: if it cannot be told that nothing is left that was to go.
        """
        if self.system_turns and self.perception and not self.leave_out and self.redact is None:
            return body
        # A fault's own words can hold what was said, and so can those of the fault that it came from: neither goes on.
        conversation_id, fault = None, ""
        try:
            conversation = read_json(body)
            conversation_id = conversation["conversation_id"]
            self._reduce(conversation)
            redacted = self.redact(conversation) if self.redact else conversation
            if not isinstance(redacted, dict):
                fault = f"the redaction returned a {type(redacted).__name__}, not the conversation"
            elif redacted.get("conversation_id") != conversation_id:
                fault = "the redaction returned another conversation_id"
            else:
                return _canonical(redacted)
        except Exception as error:
            fault = f"it raised {type(error).__name__}"
        raise RedactionError(
            f"Conversation {conversation_id} could not be redacted: {fault}. Nothing of it is stored before that is "
            "corrected."
        )

    def _reduce(self, conversation: dict[str, Any]) -> None:
        if not self.perception and isinstance(conversation.get("events"), list):
            conversation["events"] = [event for event in conversation["events"] if not _tells_what_was_seen(event)]
        if not self.system_turns:
            kept = _without_system_turns(conversation)
            conversation.clear()
            conversation.update(kept)
        for field in self.leave_out:
            first, *names = field.split(".")
            *way, name = [*TURNS, *names] if first == "turns" else [first, *names]
            for each in (name, OTHER_NAMES.get(name, name)):
                _leave_out(conversation, [*way, each])


def _tells_what_was_seen(event: Any) -> bool:
    event_type = event.get("event_type") if isinstance(event, dict) else None
    return str(event_type).startswith(PERCEPTION) and event_type != PERCEPTION_UNAVAILABLE


def _without_system_turns(value: Any) -> Any:
    # Wherever turns stand, not only where they are documented to: in doubt, too much goes.
    if isinstance(value, str):
        return _text_without_system_turns(value) if _may_hold_turns(value) else value
    if isinstance(value, list):
        return [_without_system_turns(item) for item in value if not _is_of_system(item)]
    if not isinstance(value, dict):
        return value
    return {
        name: _text_without_system_turns(inner)
        if name == "transcript" and isinstance(inner, str)
        else _without_system_turns(inner)
        for name, inner in value.items()
        if not _is_of_system(inner)
    }


def _may_hold_turns(text: str) -> bool:
    return bool((BEGINS_AS_JSON.match(text) and NAMES_TURNS.search(text)) or NAMES_THE_SYSTEM.search(text))


def _text_without_system_turns(text: str) -> str | None:
    """Do it in JSON that stands in a text, as in the request of a post-call action; None for what is no such JSON."""
    try:
        value = read_json(text.strip(BLANK).encode())
    except ValueError:
        return None
    kept = _text_without_system_turns(value) if isinstance(value, str) else _without_system_turns(value)
    return _canonical(kept).decode() if isinstance(kept, str | list | dict) and not _is_of_system(value) else None


def _is_of_system(turn: Any) -> bool:
    return isinstance(turn, dict) and str(turn.get("role")).strip().lower() == "system"


def _leave_out(value: Any, names: list[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _leave_out(item, names)
    elif isinstance(value, dict):
        name, *further = names
        if further:
            _leave_out(value.get(name), further)
        else:
            value.pop(name, None)


def _canonical(value: Any) -> bytes:
    # Python's own encoder takes nothing that is no JSON, not even a NaN.
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()
