"""Every kind of turn and event that Tavus is known to send, each to be asked for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.testing import events
from airflow_provider_tavus.testing.events import ScriptedEvent
from airflow_provider_tavus.testing.turns import ABSENT, RawTurn, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_PROMPT = "You are Anna, a friendly gardener in a live video call. " + "Speak in short sentences. " * 400
"""Over 10 kB, as real ones are."""

SHUTDOWN_REASONS = (
    "participant_left_timeout",
    "max_call_duration",
    "participant_absent_timeout",
    "bot_could_not_join_meeting_it_was_probably_ended",
    "daily_room_has_been_deleted",
    "exception_encountered_during_conversation_startup",
    "end_conversation_endpoint_hit",
    "internal error occurred at step 3",
)

TURNS: Mapping[str, Turn | RawTurn] = {
    "user": Turn("user", "Sandy. My neighbour says compost.", duration=1.84),
    "assistant": Turn("assistant", "Your neighbour is right.", duration=2.15),
    "whole_second": Turn("assistant", "Yes.", duration=2),
    "own_inference_id": Turn("assistant", "Wonderful.", inference_id="inf_abc123"),
    "without_inference_id": Turn("assistant", "Lovely.", inference_id=None),
    "system_prompt": Turn("system", SYSTEM_PROMPT),
    "retrieved_passage": Turn("system", "Information from documents: beans like warm soil."),
    "empty": Turn("user", ""),
    "null": Turn("user", None),
    "without_content": Turn("assistant"),
    "tool_call": Turn(
        "assistant",
        tool_calls=({"id": "call_1", "function": {"name": "find_seeds", "arguments": '{"kind": "beans"}'}},),
    ),
    "flat_tool_call": Turn("assistant", None, tool_calls=({"id": "call_2", "name": "find_seeds", "arguments": ""},)),
    "broken_tool_call": Turn(
        "assistant",
        ABSENT,
        tool_calls=({"id": "call_3", "function": {"name": "find_seeds", "arguments": '{"kind": "be'}},),
    ),
    "tool_result": Turn("tool", "dispatched", tool_call_id="call_1"),
    "tool_result_as_object": Turn("tool", {"matches": []}, tool_call_id="call_2"),
    "unknown_role": Turn("narrator", "A bird sings."),
    "multilingual": Turn("user", "Grüße aus Zürich, 你好, مرحبا 🌱"),
    "text_instead_of_object": RawTurn("Hello"),
    "null_instead_of_object": RawTurn(None),
    "list_instead_of_object": RawTurn([1, 2]),
    "without_role": RawTurn({"content": "Who said this?"}),
    "unknown_field": RawTurn({"role": "user", "content": "Hm.", "mood": "pensive"}),
}

FURTHER_EVENTS: Mapping[str, ScriptedEvent] = {
    "perception_analysis": events.perception_analysis(),
    "perception_no_vision_history": events.perception_unavailable("no_vision_history"),
    "perception_empty_summary": events.perception_unavailable("empty_summary"),
    "perception_summary_error": events.perception_unavailable("summary_error"),
    "recording_ready": events.recording_ready(),
    "recording_ready_old": events.recording_ready(new=False),
    "recording_copy_failed": events.recording_copy_failed(),
    "post_call_action": events.post_call_action_executed(),
    "post_call_action_failed": events.post_call_action_executed(status="error"),
    "memory_consolidation": events.memory_consolidation(),
    "raven_memory_evidence": events.raven_memory_evidence(),
    "canvas_interaction": events.canvas_interaction(),
    "objective_completed": events.objective_completed(),
    "unknown": ScriptedEvent(event_type="application.not_yet_invented", properties={"x": 1}, after_shutdown=1),
    "without_properties": ScriptedEvent(event_type="application.not_yet_invented", after_shutdown=2),
}
