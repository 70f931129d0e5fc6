"""What a look at a conversation means for the ledger. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airflow_provider_tavus.collect.entry import Entry, as_epoch
from airflow_provider_tavus.collect.layout import UNKNOWN_DATE, partition_of
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY, has_ended
from airflow_provider_tavus.conversations.readiness import judge
from airflow_provider_tavus.conversations.turns import raw_transcript

if TYPE_CHECKING:
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.collect.entry import State
    from airflow_provider_tavus.collect.index import Due

DELETED = "deleted"
UNUSABLE_ID = "unusable_id"
REASONS = {
    DELETED: "Tavus does not know it any more, and had not delivered it before",
    UNUSABLE_ID: "its id is no id that can be asked for",
}
"""Why a conversation is impossible, beside the reasons that a verdict gives."""


STATES_BY_VERDICT: dict[str, State] = {"waiting": "pending", "ready": "collected", "never": "impossible"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    When a conversation is complete. All times are seconds.

    :param wait_for: the event types that are wanted.
    :param grace_period: how long after its end they may still come.
    :param settle_period: how long after its end it is looked at once more, for what came after it was collected.
    """

    wait_for: tuple[str, ...]
    grace_period: float
    settle_period: float


def entry_of(conversation: Conversation, due: Due, wanted: Wanted, *, now: float) -> Entry:
    """
    Return what the ledger is to say of a conversation that was read; what is stored of it is yet to be filled in.

    :param due: what was known of it before.
    :param now: epoch seconds of the look.
    """
    known = due.entry
    since = (known.since if known else None) or now
    verdict = judge(
        conversation,
        wait_for=wanted.wait_for,
        grace_period=wanted.grace_period,
        now=now,
        waiting_since=since,
        went_on_at=_may_have_gone_on_until(known),
    )
    over = has_ended(conversation)
    ended_at = as_epoch(verdict.ended_at) if over and verdict.ended_at else None
    changed_at = conversation.updated_at.timestamp() if conversation.updated_at else None
    state: State = "active" if not over else STATES_BY_VERDICT[verdict.state]
    # Where no shutdown is told, the last change is the next best, as it is for the grace period.
    settled_at = (ended_at or changed_at or since) + wanted.settle_period
    return Entry(
        conversation_id=conversation.conversation_id,
        state=state,
        at=now,
        since=since if over else None,
        reason=verdict.reason,
        missing=verdict.missing if over else (),
        partition=_partition(conversation, due),
        sha256=known.sha256 if known else None,
        stored_as=known.stored_as if known else (),
        ended_at=ended_at,
        updated_at=_latest(changed_at, due.row.updated_at if due.row else None, known.updated_at if known else None),
        look_again_at=settled_at if state in {"collected", "impossible"} and now < settled_at else None,
        listed=due.row is not None or known is None or known.listed,
    )


def entry_of_what_is_gone(due: Due, reason: str, *, now: float) -> Entry:
    """Return what the ledger is to say of a conversation that cannot be read: what is stored of it stays."""
    known = due.entry
    if known is not None and known.sha256:
        return replace(known, at=now, look_again_at=None, listed=due.row is not None)
    return Entry(
        conversation_id=due.conversation_id,
        state="impossible",
        at=now,
        reason=reason,
        since=known.since if known else None,
        partition=due.partition,
        updated_at=_latest(due.row.updated_at if due.row else None, known.updated_at if known else None),
        listed=due.row is not None,
    )


def may_be_poorer(entry: Entry, body: bytes, known: Entry | None) -> bool:
    """
    Tell whether less may have been read than is stored, as far as that can be told without what is stored.

    :param entry: what the ledger is to say after this look.
    :param body: what was read.
    :param known: what the ledger says of what is stored; None if it knows of nothing that is.
    """
    missing = known.missing if known else ()
    may_have_a_transcript = TRANSCRIPTION_READY not in missing
    return not set(entry.missing) <= set(missing) or (may_have_a_transcript and not _BEGINS_A_TRANSCRIPT.search(body))


_BEGINS_A_TRANSCRIPT = re.compile(rb'"transcript"\s*:\s*\[\s*[^\]\s]')


def is_poorer(read: Conversation, stored: Conversation, wanted: Wanted) -> bool:
    """Tell whether a wanted event or the transcript is stored, and is not in what was read."""
    there, there_before = ({event.event_type for event in each.events or ()} for each in (read, stored))
    lost = (there_before - there).intersection(wanted.wait_for)
    return bool(lost) or bool(raw_transcript(stored) and not raw_transcript(read))


def entry_of_what_stays(entry: Entry, known: Entry, wanted: Wanted) -> Entry:
    """
    Return what the ledger is to say of a conversation of which less was read than is stored: what is stored stays.

    It is looked at once more, for what may have been a fault of the moment, but not again and again.

    :param entry: what it would say if nothing was stored.
    :param known: what it says so far.
    """
    settled_at = (_latest(known.ended_at, known.updated_at, known.since) or known.at) + wanted.settle_period
    was_once_more = known.look_again_at is not None and known.look_again_at > settled_at
    return replace(
        known,
        at=entry.at,
        updated_at=entry.updated_at,
        look_again_at=None if was_once_more else entry.at + wanted.settle_period,
        listed=entry.listed,
    )


def _may_have_gone_on_until(known: Entry | None) -> float | None:
    if known is None:
        return None
    # When a pending one was last seen going on is not kept, only when it was first found over.
    return {"active": known.at, "pending": known.since}.get(known.state)


def _partition(conversation: Conversation, due: Due) -> str:
    # What is stored stays where it is, and what the list says of a date, it says at every reading.
    if due.partition != UNKNOWN_DATE:
        return due.partition
    return partition_of(conversation.created_at.timestamp() if conversation.created_at else None)


def _latest(*moments: float | None) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)
