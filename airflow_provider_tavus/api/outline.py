"""
The outline of a conversation: what happened and when, without what was said or seen.

A verdict needs no more, and nearly all of a body is what was said: to make objects of it costs more than all the
rest, and whoever waits keeps none of them.
"""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from airflow_provider_tavus.api.json_text import read_json

SHUTDOWN = "system.shutdown"
"""The one type of events whose properties are read: they tell the reason."""


class _Event(TypedDict, total=False):
    event_type: Any
    timestamp: Any
    properties: msgspec.Raw


class _Outline(TypedDict, total=False):
    conversation_id: Any
    status: Any
    created_at: Any
    updated_at: Any
    shutdown_reason: Any
    events: list[_Event] | None


_decode = msgspec.json.Decoder(_Outline).decode


def read_outline(body: bytes) -> Any:
    """
    Return of a conversation's JSON what a verdict on it needs; of what is none, all that it holds.

    :raises ValueError: as :func:`.json_text.read_json` does.
    """
    try:
        outline: Any = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return read_json(body)
    if body.rfind(b"\\u0000") >= 0:
        # It may stand in one of the few fields that are read. From its end, a body is searched in a third of the time.
        return read_json(body)
    for event in outline.get("events") or ():
        properties = event.pop("properties", b"{}")
        if event.get("event_type") == SHUTDOWN:
            event["properties"] = read_json(bytes(properties))
    return outline
