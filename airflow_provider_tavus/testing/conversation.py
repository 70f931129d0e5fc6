"""One conversation of the box, and what can be seen of it at a given moment."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.testing.events import ScriptedEvent, TranscriptionReady
from airflow_provider_tavus.testing.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.testing.script import Script

DEFAULT_REPLICA = "r90bbd427f71"
DEFAULT_PERSONA = "p1fec29e7f23"


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """
    A conversation: its script, its labels, and what was done to it from outside.

    :param created_at: epoch seconds.
    :param ended_at: when somebody called its ``end``, in epoch seconds; None if nobody did.
    :param raw: a body that reads give back exactly as it is, instead of the script's.
    """

    conversation_id: str
    script: Script
    created_at: float
    name: str | None = None
    callback_url: str = ""
    replica_id: str = DEFAULT_REPLICA
    persona_id: str = DEFAULT_PERSONA
    ended_at: float | None = None
    raw: Any = None

    @property
    def url(self) -> str:
        """The address of the room."""
        return f"https://tavus.daily.co/{self.conversation_id}"

    @cached_property
    def shutdown_at(self) -> float | None:
        """When it ends, by its script or because it was told to, in epoch seconds; None is never."""
        scripted = None if self.script.shutdown is None else self.created_at + self.script.shutdown
        moments = [moment for moment in (scripted, self.ended_at) if moment is not None]
        return min(moments, default=None)

    @property
    def shutdown_reason(self) -> str | None:
        """Why it ends."""
        if self.ended_at is not None and self.shutdown_at == self.ended_at:
            return "end_conversation_endpoint_hit"
        return self.script.shutdown_reason

    def is_over(self, now: float) -> bool:
        """Tell whether it has ended by ``now`` (epoch seconds)."""
        return self.shutdown_at is not None and self.shutdown_at <= now

    def status(self, now: float) -> str:
        """Return the status that reads show at ``now`` (epoch seconds)."""
        if isinstance(self.raw, dict) and "status" in self.raw:
            return str(self.raw["status"])
        return self.script.ended_status if self.is_over(now) else self.script.active_status

    def updated_at(self, now: float) -> float:
        """Return when something last happened in it, in epoch seconds."""
        settled_at = self.created_at + self.script.settles_after
        if self.ended_at is None and settled_at <= now:
            return settled_at
        turns = (self.created_at + turn.at for turn in self.script.turns if not self._cut_off(turn.at))
        events = (moment for moment, _ in self.timeline())
        moments = (*turns, *events, self.shutdown_at or self.created_at)
        return max((moment for moment in moments if moment <= now), default=self.created_at)

    def events(self, now: float) -> list[dict[str, Any]]:
        """Return ``events`` of a verbose read at ``now`` (epoch seconds), in the shape's order."""
        seen = [
            self._event_body(moment, event) for moment, event in self.timeline() if moment <= now and event.in_reads
        ]
        if self.script.shape.event_order == "reversed":
            seen.reverse()
        elif self.script.shape.event_order == "shuffled":
            random.Random(self.conversation_id).shuffle(seen)  # noqa: S311 - a play needs no secrecy
        return seen

    def timeline(self) -> list[tuple[float, ScriptedEvent]]:
        """Return every event that is ever to happen with its moment in epoch seconds, by time."""
        shutdown_at = self.shutdown_at
        happening = [*self._joined(), *self._shutdown(), *self._transcripts(), *self.script.further_events]
        timeline = []
        for event in happening:
            if event.after_shutdown is None:
                if event.at is not None and not self._cut_off(event.at):
                    timeline.append((self.created_at + event.at, event))
            elif shutdown_at is not None:
                timeline.append((max(self.created_at, shutdown_at + event.after_shutdown), event))
        timeline.sort(key=lambda moment_and_event: moment_and_event[0])
        return timeline

    def _cut_off(self, at: float) -> bool:
        """Tell whether the call has ended before what was to happen in it at ``at`` seconds."""
        return self.shutdown_at is not None and self.created_at + at > self.shutdown_at

    def _event_body(self, moment: float, event: ScriptedEvent) -> dict[str, Any]:
        body: dict[str, Any] = {
            "event_type": event.event_type,
            "timestamp": iso(moment, fractions=self.script.shape.event_fractions),
        }
        properties = self.properties_of(event)
        if properties is not None:
            body["properties"] = properties
        return body

    def properties_of(self, event: ScriptedEvent) -> dict[str, Any] | None:
        """Return an event's ``properties``; None if it has none."""
        if not isinstance(event, TranscriptionReady):
            return None if event.properties is None else dict(event.properties)
        shape = self.script.shape
        if shape.empty_transcript_properties:
            return {}
        turns = [turn.body(self.created_at, shape.turn_times, self.conversation_id) for turn in event.turns]
        return {"transcript": turns}

    def _joined(self) -> Iterator[ScriptedEvent]:
        shape = self.script.shape
        if self.script.replica_joined is None:
            return
        who = {"face_id" if shape.names == "new" else "replica_id": self.replica_id}
        for name in ("pal", "replica") if shape.joined == "both" else (shape.joined,):
            yield ScriptedEvent(
                event_type=f"system.{name}_joined",
                properties=who if shape.joined_properties else None,
                at=self.script.replica_joined,
            )

    def _shutdown(self) -> Iterator[ScriptedEvent]:
        if not self.script.shutdown_event:
            return
        reason = self.shutdown_reason
        if reason is not None and self.script.shape.reason_reached:
            reason += " reached"
        properties: dict[str, Any] = {} if reason is None else {self.script.shape.reason_key: reason}
        yield ScriptedEvent(event_type="system.shutdown", properties=properties, after_shutdown=0.0)

    def _transcripts(self) -> Iterator[ScriptedEvent]:
        script = self.script
        if script.transcript_delay is None:
            return
        turns = tuple(turn for turn in script.turns if not self._cut_off(turn.at))
        first = turns if script.transcript_again is None else turns[:-1]
        yield TranscriptionReady(turns=first, after_shutdown=script.transcript_delay)
        if script.transcript_again is not None:
            yield TranscriptionReady(turns=turns, after_shutdown=script.transcript_again)
