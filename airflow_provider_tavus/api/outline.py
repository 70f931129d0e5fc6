"""
The outline of a conversation: what happened and when, without what was said or seen.

A verdict needs no more, and nearly all of a body is what was said: to make objects of it costs more than all the
rest, and whoever waits keeps none of them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_tavus.api.json_text import read_json

WHAT_WAS_SAID_OR_SEEN = "application."
"""How the types of events begin whose properties are passed over; those of ``system.shutdown`` tell the reason."""


class _Event(msgspec.Struct):
    event_type: Any = None
    timestamp: Any = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")


class _Outline(msgspec.Struct):
    conversation_id: Any = None
    status: Any = None
    created_at: Any = None
    updated_at: Any = None
    shutdown_reason: Any = None
    events: list[_Event] | None = None


_decode = msgspec.json.Decoder(_Outline).decode


def read_outline(body: bytes) -> Any:
    """
    Return of a conversation's JSON what a verdict on it needs; of what is none, all that it holds.

    :raises ValueError: as :func:`.json_text.read_json` does.
    """
    try:
        outline = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return read_json(body)
    if body.rfind(b"\\u0000") >= 0:
        # It may stand in one of the few fields that are read. From its end, a body is searched in a third of the time.
        return read_json(body)
    plain = msgspec.structs.asdict(outline)
    if outline.events is not None:
        plain["events"] = [_event(event) for event in outline.events]
    return plain


def _event(event: _Event) -> dict[str, Any]:
    passed_over = str(event.event_type).startswith(WHAT_WAS_SAID_OR_SEEN)
    return {
        "event_type": event.event_type,
        "timestamp": event.timestamp,
        "properties": None if passed_over else read_json(bytes(event.properties)),
    }
