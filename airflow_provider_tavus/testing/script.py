"""What happens in a conversation, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.testing.shapes import PLAIN, Shape
from airflow_provider_tavus.testing.small_talk import SMALL_TALK
from airflow_provider_tavus.testing.turns import RawTurn, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_tavus.testing.events import ScriptedEvent


@dataclass(frozen=True, kw_only=True)
class Script:
    """
    What happens in a conversation; times in seconds from its creation, unless said otherwise.

    :param replica_joined: when the replica joins; None is never.
    :param participant_joined: when a person joins; None is never. Reads do not show it.
    :param turns: what is said, and by whom.
    :param participant_left: when the last person leaves. Reads do not show it.
    :param shutdown: when the conversation ends; None is never.
    :param shutdown_reason: why it ends; None leaves the reason out.
    :param shutdown_event: whether the end is told in an event, too.
    :param transcript_delay: when the transcript is there, in seconds **after the shutdown**: negative is
        before it, None is never.
    :param transcript_again: seconds after the shutdown at which the transcript comes a second time, complete;
        the first one then lacks its last turn.
    :param further_events: perception, recording, post-call actions and whatever else.
    :param active_status: the status before the shutdown.
    :param ended_status: the status from the shutdown on. Only ``active`` and ``ended`` are documented.
    :param shape: how all of it is spelled.
    """

    replica_joined: float | None = 1.0
    participant_joined: float | None = 3.0
    turns: tuple[Turn | RawTurn, ...] = ()
    participant_left: float | None = None
    shutdown: float | None = None
    shutdown_reason: str | None = "participant_left_timeout"
    shutdown_event: bool = True
    transcript_delay: float | None = 1.0
    transcript_again: float | None = None
    further_events: tuple[ScriptedEvent, ...] = ()
    active_status: str = "active"
    ended_status: str = "ended"
    shape: Shape = PLAIN

    @classmethod
    def active(cls, **changes: Any) -> Script:
        """Return a call that goes on until somebody ends it; ``changes`` are fields of Script or of Shape."""
        return cls(turns=small_talk(start=4.0, seconds=40.0)).but(**changes)

    @classmethod
    def finished(
        cls, *, seconds: float = 60.0, turns: Iterable[Turn | RawTurn] | None = None, **changes: Any
    ) -> Script:
        """
        Return a call in which people talk, leave, and get their transcript.

        :param seconds: when it ends.
        :param turns: what is said; a short chat if not given.
        :param changes: fields of Script or of Shape.
        """
        said = small_talk(start=seconds / 15, seconds=seconds * 0.8) if turns is None else tuple(turns)
        call = cls(
            replica_joined=seconds / 60,
            participant_joined=seconds / 20,
            turns=said,
            participant_left=seconds * 0.95,
            shutdown=seconds,
        )
        return call.but(**changes)

    @classmethod
    def test_mode(cls, **changes: Any) -> Script:
        """Return a conversation in test mode: ended at birth, nothing ever happens in it."""
        empty = cls(
            replica_joined=None,
            participant_joined=None,
            shutdown=0.0,
            shutdown_reason=None,
            shutdown_event=False,
            transcript_delay=None,
            shape=Shape(events="empty"),
        )
        return empty.but(**changes)

    @classmethod
    def nobody_joined(cls, *, seconds: float = 300.0, **changes: Any) -> Script:
        """Return a call to which nobody comes; it ends ``seconds`` after its creation, untranscribed."""
        lonely = cls(
            participant_joined=None,
            shutdown=seconds,
            shutdown_reason="participant_absent_timeout",
            transcript_delay=None,
        )
        return lonely.but(**changes)

    @classmethod
    def startup_failure(cls, *, seconds: float = 5.0, **changes: Any) -> Script:
        """Return a call that fails before the replica has joined, without a transcript."""
        failed = cls(
            replica_joined=None,
            participant_joined=None,
            shutdown=seconds,
            shutdown_reason="exception_encountered_during_conversation_startup",
            transcript_delay=None,
        )
        return failed.but(**changes)

    @cached_property
    def settles_after(self) -> float:
        """How long after the creation the last thing happens, in seconds, if nobody ends the call early."""
        end = math.inf if self.shutdown is None else self.shutdown
        moments = [self.replica_joined, *(turn.at for turn in self.turns), *(event.at for event in self.further_events)]
        in_the_room = (moment for moment in moments if moment is not None and moment <= end)
        delays = [0.0, self.transcript_delay, self.transcript_again]
        delays += [event.after_shutdown for event in self.further_events]
        afterwards = (end + delay for delay in delays if delay is not None and self.shutdown is not None)
        return max(0.0, *in_the_room, *afterwards)

    def but(self, **changes: Any) -> Script:
        """Return the same script with some fields of its own, or of its shape, changed."""
        spelling = {name: changes.pop(name) for name in tuple(changes) if name in Shape.__dataclass_fields__}
        if spelling:
            changes["shape"] = replace(changes.get("shape", self.shape), **spelling)
        return replace(self, **changes)

    def limited_by(self, *, max_call_duration: float, participant_absent_timeout: float) -> Script:
        """
        Return the same script under the time limits of a create call.

        :param max_call_duration: how long the call may last, in seconds.
        :param participant_absent_timeout: how long it waits for a person, in seconds from its creation.
        """
        script = self
        if script.participant_joined is None and script.shutdown_reason == "participant_absent_timeout":
            script = replace(script, shutdown=float(participant_absent_timeout))
        if script.shutdown is None or script.shutdown > max_call_duration:
            script = replace(script, shutdown=float(max_call_duration), shutdown_reason="max_call_duration")
        return script


def small_talk(*, start: float, seconds: float) -> tuple[Turn, ...]:
    """Return a pleasant chat whose turns spread over ``seconds`` from ``start`` on."""
    step = seconds / len(SMALL_TALK)
    return tuple(
        Turn(role, content, at=round(start + index * step, 2), duration=round(step * 0.8, 2))
        for index, (role, content) in enumerate(SMALL_TALK)
    )
