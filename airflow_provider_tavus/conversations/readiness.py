"""
The one verdict: are a conversation's results there, still to come, or never to come? Pure functions.

Every way of waiting asks here, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_tavus.conversations import events
from airflow_provider_tavus.conversations.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_tavus.api.models import Conversation

State = Literal["waiting", "ready", "never"]

SAYS_IT_WILL_NOT_COME = {
    events.PERCEPTION_ANALYSIS: events.PERCEPTION_UNAVAILABLE,
    events.RECORDING_READY: events.RECORDING_COPY_FAILED,
}
"""Which event tells that another one will never come."""

NOBODY_JOINED = "participant_absent_timeout"
STARTUP_FAILURES = (
    "exception_encountered_during_conversation_startup",
    "bot_could_not_join_meeting_it_was_probably_ended",
    "daily_room_has_been_deleted",
    "internal error occurred",
)
"""How shutdown reasons begin that tell of a call that could not be held (Tavus, "Webhooks and Callbacks")."""

REASONS = {
    "test_mode": "it looks like one in test mode, which never yields results",
    "nobody_joined": "nobody joined it",
    "startup_failure": "it could not be started",
    "reported_unavailable": "Tavus reports that they could not be made",
    "not_in_time": "they did not come within the grace period after its end",
}
"""Why results never come, by the word that a :class:`Verdict` carries."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What is known of one conversation that is waited for.

    :param state: ``waiting``, ``ready`` or ``never``.
    :param status: Tavus' own word for where the conversation is; None before the first answer.
    :param missing: which of the wanted events are not there.
    :param reason: a key of :data:`REASONS` if the state is ``never``.
    :param ended_at: when the conversation was shut down, ISO 8601 in UTC, if its events tell.
    :param ready_at: when the last came of its end and the wanted events, likewise; None unless the state is ``ready``.
    """

    conversation_id: str
    state: State
    status: str | None
    missing: tuple[str, ...]
    reason: str | None = None
    shutdown_reason: str | None = None
    ended_at: str | None = None
    ready_at: str | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return the verdict as plain JSON, the shape that a wait hands out as its XCom."""
        return {
            "conversation_id": self.conversation_id,
            "state": self.state,
            "status": self.status,
            "missing": list(self.missing),
            "reason": self.reason,
            "shutdown_reason": self.shutdown_reason,
            "ended_at": self.ended_at,
            "ready_at": self.ready_at,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Verdict:
        """Read back what :meth:`as_plain` returned."""
        return cls(**{**plain, "missing": tuple(plain["missing"])})

    def __str__(self) -> str:
        """Say it in a sentence, for logs and errors."""
        about = f"Conversation {self.conversation_id}"
        if self.state == "ready":
            return f"{about} has ended and its results are there."
        if self.state == "never":
            shutdown = f" (shutdown reason: {self.shutdown_reason})" if self.shutdown_reason else ""
            return f"{about} will not get {', '.join(self.missing)}: {REASONS[self.reason or 'not_in_time']}{shutdown}."
        state = {None: "is not known yet", "ended": "has ended"}.get(self.status, f"is {self.status}")
        return f"{about} {state}; waiting for {', '.join(self.missing) or 'its end'}."


def judge(
    conversation: Conversation,
    *,
    wait_for: tuple[str, ...],
    grace_period: float,
    now: float,
    waiting_since: float,
    went_on_at: float | None = None,
) -> Verdict:
    """
    Judge one conversation, read with ``verbose=true``.

    Ready is: ended, and every wanted event is there, in whatever order they came. Never is: ended, and what is
    missing was reported as impossible or did not come within the grace period.

    :param wait_for: the event types that are wanted; empty to wait for the end alone.
    :param grace_period: seconds after the conversation's end in which events may still come.
    :param now: epoch seconds.
    :param waiting_since: epoch seconds; where Tavus tells neither when the conversation ended nor when anything
        happened in it, the grace period counts from here.
    :param went_on_at: epoch seconds at which the conversation was last seen going on: where no shutdown is told, the
        grace period counts from no earlier moment.
    """
    # An event without a type is not in it: it is none that could be wanted, nor says that another will not come.
    there = events.latest_events(conversation)
    missing = tuple(event_type for event_type in wait_for if event_type not in there)
    ended = events.has_ended(conversation)
    shutdown = there.get(events.SHUTDOWN)
    shut_down_at = shutdown.timestamp if shutdown else None
    shutdown_reason = events.reason_of(shutdown, conversation)
    counts_from = shut_down_at.timestamp() if shut_down_at else _over_since(conversation, waiting_since, went_on_at)
    state: State = "waiting"
    reason = None
    if ended and not missing:
        state = "ready"
    elif ended and all(SAYS_IT_WILL_NOT_COME.get(event_type) in there for event_type in missing):
        state, reason = "never", "reported_unavailable"
    elif ended and now >= counts_from + grace_period:
        state, reason = "never", _why_not(conversation, shutdown_reason or "")
    return Verdict(
        conversation_id=conversation.conversation_id,
        state=state,
        status=conversation.status,
        missing=missing,
        reason=reason,
        shutdown_reason=shutdown_reason,
        ended_at=iso(shut_down_at),
        ready_at=iso(events.last_of(there, wait_for)) if state == "ready" else None,
    )


def last_sign_of(conversation: Conversation) -> float | None:
    """Return when (epoch seconds) something last happened in or to a conversation; None if Tavus tells of nothing."""
    told = [conversation.updated_at, *(event.timestamp for event in conversation.events or ())]
    return max((moment.timestamp() for moment in told if moment), default=None)


def _over_since(conversation: Conversation, waiting_since: float, went_on_at: float | None) -> float:
    # The end is no earlier than whatever is known to have happened before it; the creation may lie hours before. Never
    # the moment of a look that found it over: a wait that starts again would count from anew.
    last_sign = last_sign_of(conversation)
    last_told = waiting_since if last_sign is None else last_sign
    return last_told if went_on_at is None else max(last_told, went_on_at)


def _why_not(conversation: Conversation, shutdown_reason: str) -> str:
    if shutdown_reason == NOBODY_JOINED:
        return "nobody_joined"
    if shutdown_reason.startswith(STARTUP_FAILURES):
        return "startup_failure"
    # A conversation in test mode is created already ended, so nothing ever happens in it.
    return "not_in_time" if conversation.events else "test_mode"
