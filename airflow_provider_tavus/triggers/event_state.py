"""
What a watcher keeps beyond its process: since when it watches, what is open, and what has had its event.

On Airflow 3.3 it stands in the state store of the watched asset, for everybody to see under these keys. Below, there is
no such store, and a watcher knows what its own process has seen.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from airflow_provider_tavus.conversations.times import iso
from airflow_provider_tavus.triggers.shared_poll import CLOCKS_DIFFER_BY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SETTLED_KEY = "tavus/settled/{hour}"
"""Who has had an event; written where Airflow stores it: see :mod:`airflow_provider_tavus.plugins.emitted`."""
LAST_KEY = "tavus/settled/last"
"""Whose event was stored last."""
PASSED_KEY = "tavus/{watcher}/passed/{hour}"
"""Who gets no event of a watcher, and why; written by it alone, so that nothing is lost between two writers."""
CLAIMED_KEY = "tavus/{watcher}/claimed"
"""Whose events a watcher is about to fire: nobody else stores one of them; written by the watcher alone."""
PROGRESS_KEY = "tavus/{watcher}/progress"

KEPT = 7 * 86_400.0
"""Seconds before the time that is watched for which it is kept who is settled, for a watcher that is changed back."""

# A question to the state store costs the triggerer some 0.1 s. So what is noted of all the conversations that were
# created in an hour stands under one key: a watcher that begins again has few questions.


def hour_of(created_at: str | None) -> str:
    """Return the hour of an ISO 8601 time in UTC, such as ``2026-04-29T03``, under which a conversation is kept."""
    return created_at[: len("2026-04-29T03")] if created_at else "unknown"


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

    def covers(self, conversation_id: str, *, created_at: float, ready_at: float) -> bool:
        """Say whether the watcher still looks for a conversation, which is not history; times in epoch seconds."""
        is_watched = created_at >= self.watched_from or conversation_id in self.open
        return is_watched and self.is_news(ready_at)

    def is_news(self, ready_at: float) -> bool:
        """Say whether what became ready then (epoch seconds) was not ready before the watch began."""
        return ready_at >= self.began - CLOCKS_DIFFER_BY

    @property
    def forgotten_before(self) -> float:
        """The time (epoch seconds) before which it may be forgotten who is settled of those created then."""
        kept_from = self.watched_from - KEPT
        return kept_from if self.began < kept_from else -math.inf

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

    async def settled(self, hour: str) -> Collection[str]:
        """Return who, of those created in an hour, has had an event by now or will not get one."""

    async def settle(self, hour: str, verdicts: Mapping[str, str]) -> None:
        """Note which conversations created in an hour get no event any more, each with its verdict: why."""

    async def claim(self, conversation_ids: Collection[str]) -> Collection[str]:
        """
        Say whose events are about to be fired, in place of what was claimed before.

        :return: those that no other watcher is about to fire.
        """

    async def forget(self, hour: str) -> None:
        """Drop what was noted of the conversations that were created in an hour."""


class StateInMemory:
    """What a watcher knows below Airflow 3.3: it is gone with the process."""

    async def load(self) -> Progress | None:
        """Return None: it begins with each process."""
        return None

    async def save(self, progress: Progress) -> None:
        """Leave it to the watcher."""

    async def settled(self, hour: str) -> Collection[str]:
        """Return nobody but whom the watcher knows of by itself."""
        return ()

    async def settle(self, hour: str, verdicts: Mapping[str, str]) -> None:
        """Leave it to the watcher."""

    async def claim(self, conversation_ids: Collection[str]) -> Collection[str]:
        """Return all: nobody else is known."""
        return conversation_ids

    async def forget(self, hour: str) -> None:
        """Forget nothing: nothing is kept."""


_claimed_here: dict[Any, dict[str, set[str]]] = defaultdict(dict)
"""What each watcher of an asset has claimed, in this process: what one of them is about to fire, no other is."""


class StateOfAssets:
    """
    What a watcher knows, in the state stores of its assets, on Airflow 3.3.

    Equal watchers of several assets are one trigger, whose events go to all of them. So each has the state, and it
    outlives that one of them is no longer defined.

    :param stores: Airflow's accessor of each asset.
    :param watcher: tells this watcher from others of the same assets.
    """

    def __init__(self, stores: Sequence[Any], watcher: str) -> None:
        self._stores = stores
        self._watcher = watcher
        self._passed: dict[str, dict[str, str]] = {}
        self._settling = asyncio.Lock()

    async def load(self) -> Progress | None:
        """Return how far the watcher had come; of several assets, one may have been away or have begun of late."""
        kept = [Progress.from_plain(plain) for plain in await self._get(PROGRESS_KEY)]
        if not kept:
            return None
        # As far back as one of them needs, but not to what another one may have had and forgotten.
        forgotten_before = max(each.forgotten_before for each in kept)
        latest = max(kept, key=lambda each: each.watched_from)
        known = {
            conversation_id: call
            for each in kept
            for conversation_id, call in each.open.items()
            if (call["created_at"] or -math.inf) >= forgotten_before
        }
        return Progress(
            began=min(each.began for each in kept),
            watched_from=max(forgotten_before, min(each.watched_from for each in kept)),
            open=known | dict(latest.open),
        )

    async def save(self, progress: Progress) -> None:
        """Keep how far the watcher has come."""
        await self._set(PROGRESS_KEY, progress.as_plain())

    async def settled(self, hour: str) -> Collection[str]:
        """Return who of an hour is settled with any of the assets, and so with all."""
        had_events = await self._get(SETTLED_KEY, hour)
        return {*(await self._passed_in(hour)), *(one for ids in had_events for one in ids)}

    async def settle(self, hour: str, verdicts: Mapping[str, str]) -> None:
        """Settle conversations of an hour."""
        # A watcher does so from two of its tasks, and of two that write at once the first one's note would be lost.
        async with self._settling:
            passed = (await self._passed_in(hour)) | dict(verdicts)
            await self._set(PASSED_KEY, passed, hour)
            self._passed[hour] = passed

    async def claim(self, conversation_ids: Collection[str]) -> Collection[str]:
        """Claim conversations, which waits for whoever stores an event instead (see ``plugins/watchers.py``)."""
        others = [
            claimed
            for store in self._stores
            for watcher, claimed in _claimed_here[store].items()
            if watcher != self._watcher
        ]
        own = set(conversation_ids).difference(*others)
        for store in self._stores:
            _claimed_here[store][self._watcher] = own
        await self._set(CLAIMED_KEY, sorted(own))
        return own

    async def forget(self, hour: str) -> None:
        """Forget the conversations of an hour."""
        self._passed.pop(hour, None)
        for store in self._stores:
            for key in (SETTLED_KEY, PASSED_KEY):
                await store.adelete(key.format(watcher=self._watcher, hour=hour))

    async def _passed_in(self, hour: str) -> dict[str, str]:
        if hour not in self._passed:
            self._passed[hour] = {one: why for kept in await self._get(PASSED_KEY, hour) for one, why in kept.items()}
        return self._passed[hour]

    async def _get(self, key: str, hour: str = "") -> list[Any]:
        """Return what stands under a key with those assets that have something there."""
        key = key.format(watcher=self._watcher, hour=hour)
        return [kept for store in self._stores if (kept := await store.aget(key)) is not None]

    async def _set(self, key: str, value: Any, hour: str = "") -> None:
        for store in self._stores:
            await store.aset(key.format(watcher=self._watcher, hour=hour), value)
