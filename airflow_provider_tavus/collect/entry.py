"""What the ledger says of one conversation."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from airflow_provider_tavus.conversations.times import utc

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["active", "pending", "collected", "impossible", "forgotten"]
STATES: tuple[State, ...] = get_args(State)
TIMES = ("at", "since", "ended_at", "updated_at", "look_again_at")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of one conversation after a look at it. All times are epoch seconds.

    :param conversation_id: which one.
    :param state: ``active``: it goes on. ``pending``: it has ended, and something wanted may still come.
        ``collected``: it is at the destination, with everything wanted. ``impossible``: something wanted will
        never come; what there is, is at the destination. ``forgotten``: it was removed and is not to come back.
    :param at: when it was looked at.
    :param since: when it was first seen to have ended.
    :param reason: why it is impossible.
    :param missing: which of the wanted events are not there.
    :param partition: the date under which it is stored, or ``unknown``; None if nothing of it is stored.
    :param sha256: of the stored object's bytes, in hexadecimal.
    :param stored_as: what it is stored as beside that: formats of tables, renderings, databases.
    :param ended_at: when it ended, as far as its events tell.
    :param updated_at: when Tavus changed it last, as far as list and body tell: a later one is a reason to look.
    :param look_again_at: when it is to be looked at once more, whatever the list says.
    :param listed: whether it was on the list when that was last read to its end.
    """

    conversation_id: str
    state: State
    at: float
    since: float | None = None
    reason: str | None = None
    missing: tuple[str, ...] = ()
    partition: str | None = None
    sha256: str | None = None
    stored_as: tuple[str, ...] = ()
    ended_at: float | None = None
    updated_at: float | None = None
    look_again_at: float | None = None
    listed: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the entry as an object of a ledger segment: times in ISO 8601, nothing that is not known."""
        plain: dict[str, Any] = {"conversation_id": self.conversation_id, "state": self.state, "at": as_time(self.at)}
        told = {
            "since": _time(self.since),
            "reason": self.reason,
            "missing": list(self.missing),
            "partition": self.partition,
            "sha256": self.sha256,
            "stored_as": list(self.stored_as),
            "ended_at": _time(self.ended_at),
            "updated_at": _time(self.updated_at),
            "look_again_at": _time(self.look_again_at),
        }
        plain |= {name: value for name, value in told.items() if value}
        return plain if self.listed else plain | {"listed": False}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Entry:
        """
        Read what :meth:`as_json` returned; what a later version may have added is passed over.

        :raises ValueError: if it is no entry.
        """
        known = {name: value for name, value in plain.items() if name in cls.__struct_fields__}
        known |= {name: as_epoch(known[name]) for name in TIMES if name in known}
        if known.get("state") not in STATES:
            raise ValueError(f"unknown state {str(known.get('state'))[:20]!r}")
        try:
            return cls(**known | {name: tuple(known.get(name, ())) for name in ("missing", "stored_as")})
        except TypeError as error:
            raise ValueError(str(error)) from None


def as_time(epoch_seconds: float) -> str:
    """Return a moment as ISO 8601 in UTC."""
    # As iso() does, which is asked for less often and takes None as well.
    return str(msgspec.to_builtins(utc(epoch_seconds)))


def _time(epoch_seconds: float | None) -> str | None:
    return None if epoch_seconds is None else as_time(epoch_seconds)


def as_epoch(time: str) -> float:
    """Return a moment of ISO 8601 in epoch seconds."""
    return datetime.fromisoformat(time).timestamp()
