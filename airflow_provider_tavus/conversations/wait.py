"""The progress of one wait for one or many conversations: what was seen, what is left, what came of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.conversations.events import has_ended
from airflow_provider_tavus.conversations.readiness import Verdict, judge

if TYPE_CHECKING:
    from airflow_provider_tavus.api.errors import TavusError
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.conversations.schedule import Schedule


@dataclass(slots=True)
class Wait:
    """
    A wait that any loop, sync or async, can carry out: look at every undecided one, note what was seen, go on.

    :param conversation_ids: the conversations waited for, without repetitions.
    :param wait_for: the event types wanted of each.
    :param grace_period: seconds after its end in which a conversation's events may still come.
    :param schedule: when to look and when to give up.
    """

    conversation_ids: tuple[str, ...]
    wait_for: tuple[str, ...]
    grace_period: float
    schedule: Schedule
    verdicts: dict[str, Verdict] = field(init=False)
    faults: dict[str, TavusError] = field(init=False, default_factory=dict)
    """The transient fault of each conversation that could not be read at the last look."""
    failure: TavusError | None = field(init=False, default=None)
    """An error that waiting cannot cure; the wait is to end with it."""
    _went_on_at: dict[str, float] = field(init=False, default_factory=dict)
    """When each conversation was last seen going on, in epoch seconds."""

    def __post_init__(self) -> None:
        """Know nothing yet."""
        self.verdicts = {
            conversation_id: Verdict(conversation_id, "waiting", None, self.wait_for)
            for conversation_id in self.conversation_ids
        }

    @property
    def undecided(self) -> list[str]:
        """The conversations that a look has to read."""
        return [verdict.conversation_id for verdict in self.verdicts.values() if verdict.state == "waiting"]

    def saw(self, conversation: Conversation, now: float) -> str | None:
        """Judge what was read at ``now`` (epoch seconds), and return a sentence if it is news."""
        conversation_id = conversation.conversation_id
        if not has_ended(conversation):
            self._went_on_at[conversation_id] = now
        verdict = judge(
            conversation,
            wait_for=self.wait_for,
            grace_period=self.grace_period,
            now=now,
            waiting_since=self.schedule.started_at,
            went_on_at=self._went_on_at.get(conversation_id),
        )
        known = verdict == self.verdicts[conversation_id] and conversation_id not in self.faults
        self.verdicts[conversation_id] = verdict
        self.faults.pop(conversation_id, None)
        return None if known else str(verdict)

    def missed(self, conversation_id: str, error: TavusError) -> str | None:
        """Note that a read failed, and return a sentence if it is news."""
        if not error.transient:
            self.failure = self.failure or error
            return None
        known = type(self.faults.get(conversation_id)) is type(error)
        self.faults[conversation_id] = error
        return None if known else f"Conversation {conversation_id} could not be read, the wait goes on: {error}"

    def next_look(self, last_look: float) -> float:
        """Return the epoch seconds of the next look: as planned, or later where Tavus asked us to stay away."""
        asked_for = max((fault.retry_after or 0.0 for fault in self.faults.values()), default=0.0)
        # Not beyond the deadline, though: what Tavus asks for is no reason to wait longer than the user does.
        return max(self.schedule.next_look(last_look), min(last_look + asked_for, self.schedule.deadline))

    def results(self) -> list[dict[str, Any]]:
        """Return every conversation's verdict as plain JSON, in the order in which they were given."""
        return [verdict.as_plain() for verdict in self.verdicts.values()]
