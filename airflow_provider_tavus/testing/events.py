"""
The events that can follow a call, as a script names them.

Names and properties are those of https://docs.tavus.io/sections/webhooks-and-callbacks; delays are what has
been seen in the wild, since none is published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_tavus.testing.turns import RawTurn, Turn


@dataclass(frozen=True, kw_only=True)
class ScriptedEvent:
    """
    An event and when it happens.

    :param event_type: such as ``application.recording_ready``; any text.
    :param properties: its properties; None leaves the key out.
    :param at: when, in seconds from the conversation's creation.
    :param after_shutdown: or when, in seconds from the shutdown; it never happens in a call that never ends.
    :param in_reads: whether reads show it; what happens only live in the room comes by callback alone.
    """

    event_type: str
    properties: Mapping[str, Any] | None = None
    at: float | None = None
    after_shutdown: float | None = None
    in_reads: bool = True

    def __post_init__(self) -> None:
        """Refuse an event that has two moments or none."""
        if (self.at is None) == (self.after_shutdown is None):
            raise ValueError("an event happens either at a moment or after the shutdown")


@dataclass(frozen=True, kw_only=True)
class TranscriptionReady(ScriptedEvent):
    """
    A transcript; it is written down when somebody reads it.

    :param turns: what it holds.
    """

    event_type: str = "application.transcription_ready"
    turns: tuple[Turn | RawTurn, ...] = ()


def perception_analysis(
    analysis: str = "The person looked relaxed and smiled often.", *, after: float = 180.0
) -> ScriptedEvent:
    """Return the visual analysis of the user, one Markdown string, ``after`` seconds from the shutdown."""
    return ScriptedEvent(
        event_type="application.perception_analysis", properties={"analysis": analysis}, after_shutdown=after
    )


def perception_unavailable(reason: str = "no_vision_history", *, after: float = 45.0) -> ScriptedEvent:
    """Return what comes instead of the analysis: no_vision_history, empty_summary or summary_error."""
    return ScriptedEvent(
        event_type="application.perception_unavailable", properties={"reason": reason}, after_shutdown=after
    )


def recording_ready(
    *,
    bucket: str = "recordings",
    key: str = "tavus/call",
    duration: int = 60,
    new: bool = True,
    after: float = 30.0,
) -> ScriptedEvent:
    """Return the recording's place in the user's bucket; ``duration`` in seconds, ``new`` adds the URI."""
    properties: dict[str, Any] = {"bucket_name": bucket, "s3_key": key, "duration": duration}
    if new:
        properties = {"storage_provider": "s3", "storage_uri": f"s3://{bucket}/{key}"} | properties
    return ScriptedEvent(event_type="application.recording_ready", properties=properties, after_shutdown=after)


def recording_copy_failed(message: str = "Access Denied", *, after: float = 30.0) -> ScriptedEvent:
    """Return a recording that could not be copied to the user's bucket."""
    return ScriptedEvent(
        event_type="application.recording_copy_failed",
        properties={"error_message": message},
        after_shutdown=after,
    )


def post_call_action_executed(
    *, tool_name: str = "save_summary", status: str = "success", after: float = 135.0
) -> ScriptedEvent:
    """Return a post-call action's result; its request body is JSON in a string."""
    properties = {
        "tool_id": "t0123456789ab",
        "tool_name": tool_name,
        "status": status,
        "request": {"body": json.dumps({"summary": "They agreed to meet again."})},
        "response": {"status_code": 200 if status == "success" else 500},
    }
    return ScriptedEvent(
        event_type="application.post_call_action_executed", properties=properties, after_shutdown=after
    )


def memory_consolidation(*, after: float = 90.0) -> ScriptedEvent:
    """Return the consolidation of memories, whose properties are empty."""
    return ScriptedEvent(event_type="application.memory_consolidation", properties={}, after_shutdown=after)


def raven_memory_evidence(*, after: float = 91.0) -> ScriptedEvent:
    """Return what the perception model leaves for the memories."""
    return ScriptedEvent(
        event_type="application.raven_memory_evidence",
        properties={"analysis": "A mug and a notebook on the desk."},
        after_shutdown=after,
    )


def canvas_interaction(*, at: float = 20.0) -> ScriptedEvent:
    """Return a touch of the shared canvas, during the call."""
    return ScriptedEvent(event_type="canvas.interaction", properties={"element": "button-1"}, at=at)


def objective_completed(*, at: float = 25.0) -> ScriptedEvent:
    """Return a completed objective, which comes by callback only."""
    properties = {"objective_name": "greeting", "output_variables": {"first_name": "Jane"}}
    return ScriptedEvent(event_type="conversation.objective.completed", properties=properties, at=at, in_reads=False)
