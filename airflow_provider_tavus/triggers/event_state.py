"""
What a watcher keeps beyond its process: since when it watches, what is open, and what has had its event.

On Airflow 3.3 it stands in the state store of the watched asset, for everybody to see under these keys. Below, there is
no such store, and a watcher knows what its own process has seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from airflow_provider_tavus.conversations.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRESS_KEY = "tavus/progress"
SETTLED_KEY = "tavus/settled/{conversation_id}"
"""Also written where Airflow stores the event: see :mod:`airflow_provider_tavus.plugins.emitted`."""


class OpenCall(TypedDict):
    """What is kept of a call that goes on for longer than the list is watched back; times in epoch seconds."""

    created_at: float | None
    pal_id: str | None
    face_id: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a watcher has come.

    :param began: epoch seconds of its first beginning: what was ready before is history.
    :param watched_from: epoch seconds; of what was created before, only ``open`` ones are still of interest.
    :param open: those created before ``watched_from`` that have no verdict yet, by id, and what an event says of them.
    """

    began: float
    watched_from: float
    open: Mapping[str, OpenCall] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Return it as plain JSON, times in ISO 8601."""
        began, watched_from = (iso(datetime.fromtimestamp(time, UTC)) for time in (self.began, self.watched_from))
        return {"began": began, "watched_from": watched_from, "open": dict(sorted(self.open.items()))}

    @classmethod
    def from_plain(cls, plain: Any) -> Progress:
        """Read back what :meth:`as_plain` returned."""
        began, watched_from = (datetime.fromisoformat(plain[name]).timestamp() for name in ("began", "watched_from"))
        return cls(began, watched_from, plain["open"])


class EventState(Protocol):
    """Keeps what a watcher knows."""

    async def load(self) -> Progress | None:
        """Return how far the watcher had come; None if it has never begun."""

    async def save(self, progress: Progress) -> None:
        """Keep how far the watcher has come."""

    async def is_settled(self, conversation_id: str) -> bool:
        """Say whether a conversation has had its event, or will not get one."""

    async def settle(self, conversation_id: str, verdict: str) -> None:
        """Note that a conversation gets no event any more, and why: its verdict."""

    async def forget(self, conversation_id: str) -> None:
        """Drop what was noted of a conversation that is of no interest any more."""


class StateInMemory:
    """What a watcher knows below Airflow 3.3: it is gone with the process."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._settled: set[str] = set()

    async def load(self) -> Progress | None:
        """Return how far the watcher had come."""
        return self._progress

    async def save(self, progress: Progress) -> None:
        """Keep how far the watcher has come."""
        self._progress = progress

    async def is_settled(self, conversation_id: str) -> bool:
        """Say whether a conversation is settled."""
        return conversation_id in self._settled

    async def settle(self, conversation_id: str, verdict: str) -> None:
        """Settle a conversation."""
        self._settled.add(conversation_id)

    async def forget(self, conversation_id: str) -> None:
        """Forget a conversation."""
        self._settled.discard(conversation_id)


class StateOfAssets:
    """
    What a watcher knows, in the state stores of its assets, on Airflow 3.3.

    Equal watchers of several assets are one trigger, whose events go to all of them. So each has the state, and it
    outlives that one of them is no longer defined.

    :param stores: Airflow's accessor of each asset.
    """

    def __init__(self, stores: Sequence[Any]) -> None:
        self._stores = stores

    async def load(self) -> Progress | None:
        """Return how far the watcher had come; of several assets, the one that has been watched longest tells."""
        kept = [await store.aget(PROGRESS_KEY) for store in self._stores]
        known = [Progress.from_plain(plain) for plain in kept if plain is not None]
        return min(known, key=lambda progress: progress.began, default=None)

    async def save(self, progress: Progress) -> None:
        """Keep how far the watcher has come."""
        for store in self._stores:
            await store.aset(PROGRESS_KEY, progress.as_plain())

    async def is_settled(self, conversation_id: str) -> bool:
        """Say whether a conversation has had its event with any of the assets, and so with all."""
        key = SETTLED_KEY.format(conversation_id=conversation_id)
        for store in self._stores:
            if await store.aget(key) is not None:
                return True
        return False

    async def settle(self, conversation_id: str, verdict: str) -> None:
        """Settle a conversation."""
        for store in self._stores:
            await store.aset(SETTLED_KEY.format(conversation_id=conversation_id), verdict)

    async def forget(self, conversation_id: str) -> None:
        """Forget a conversation."""
        for store in self._stores:
            await store.adelete(SETTLED_KEY.format(conversation_id=conversation_id))
