"""
The watch over all conversations of an account: each gets a wait of its own, and its event when the wait is over.

The waits are carried out by the poll that all waits of the account share. Nothing here ever gives up: whatever cannot
be had now is tried again.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.api.errors import NotFoundError, TavusError, UnknownConversationError
from airflow_provider_tavus.conversations.labels import Labels
from airflow_provider_tavus.conversations.readiness import last_sign_of
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.times import iso, utc
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.triggers import metrics
from airflow_provider_tavus.triggers.callbacks import prepare, reader_of_this_loop
from airflow_provider_tavus.triggers.discovery import SWEEP_INTERVAL, Listed
from airflow_provider_tavus.triggers.event_state import KEPT, Progress, hour_of
from airflow_provider_tavus.triggers.expected_callbacks import ExpectedCallbacks
from airflow_provider_tavus.triggers.polls import carry_out

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence

    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.conversations.readiness import Verdict
    from airflow_provider_tavus.triggers.discovery import Discovery
    from airflow_provider_tavus.triggers.event_state import EventState, OpenCall

RECENT = 3600.0
"""Seconds before its first beginning since which a watcher looks at what was created: it may become ready only now."""
LOOKBACK = 86_400.0
"""Seconds for which it is kept, by creation, who has had an event: a row that is listed later than this is missed."""
SAVE_INTERVAL = 600.0
"""Seconds between two times that the progress is written down, if nothing but time has passed."""
LONGEST_HOLD = 5.0
"""Seconds for which an event is held back, at most, until all who had ended as well have been looked at."""
STORED_WITHIN = 60.0
"""Seconds after which Airflow has stored an event, whatever goes on beside it."""
ANSWER_HOLDS = 1.0
"""Seconds for which an answer of the state store shows that no other triggerer has taken over from this one."""
HOUR = 3600.0


@dataclass(slots=True)
class WaitForOne(Wait):
    """A wait for a single conversation, which also keeps what its reads tell that the list may not."""

    created_at: float | None = field(init=False, default=None)
    last_sign: float | None = field(init=False, default=None)

    def saw(self, conversation: Conversation, now: float) -> str | None:
        """Judge what was read, and keep when it was created and when something last happened in it."""
        self.last_sign = last_sign_of(conversation)
        if conversation.created_at is not None:
            self.created_at = conversation.created_at.timestamp()
        return Wait.saw(self, conversation, now)


@dataclass(eq=False, slots=True)
class Watching:
    """A conversation that the watch waits for."""

    row: Listed
    wait: WaitForOne
    watched_from: float
    """Epoch seconds; if it was created before, it may have had an event that is forgotten."""
    task: asyncio.Task[None] | None = None
    is_over: bool = False

    @property
    def listed(self) -> Listed:
        """The row, with the time of creation if only a read has told it: who is settled is kept by that."""
        return self.row if self.row.created_at is not None else replace(self.row, created_at=self.wait.created_at)

    @property
    def is_of_no_interest(self) -> bool:
        """Whether it is too old to be watched, which only a read can have told."""
        return _created(self.listed) < self.watched_from

    @property
    def may_be_ready(self) -> bool:
        """Whether it had ended before anybody looked at it, and nobody has learned yet that it is not ready."""
        verdict = self.wait.verdicts[self.row.conversation_id]
        is_not = self.wait.faults or (verdict.state == "waiting" and verdict.status is not None)
        return not (self.row.was_active or self.is_over or is_not)


@dataclass(eq=False)
class Watch:
    """
    One watcher's way through what is listed.

    :param wanted: which conversations it is for.
    :param wait_for: the event types wanted of each, besides its end.
    :param grace_period: seconds after its end in which a conversation's events may still come.
    :param interval: seconds between two looks at a conversation.
    :param state: what is kept beyond this process.
    :param tell: called with a sentence for each event, and for whatever gets none.
    """

    wanted: Labels
    wait_for: tuple[str, ...]
    grace_period: float
    interval: float
    state: EventState
    tell: Callable[[str], object]

    _discovery: Discovery | None = None
    _progress: Progress | None = None
    _saved_at: float = -math.inf
    _watching: dict[str, Watching] = field(default_factory=dict)
    _settled: dict[str, set[str]] = field(default_factory=dict)
    """Who gets no further event, by the hour in which they were created."""
    _asked_at: dict[str, float] = field(default_factory=dict)
    """When, by the monotonic clock, the state store was asked last about those of an hour."""
    _ready: list[tuple[float, int, Verdict, Listed]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _unstored: dict[str, tuple[float, Listed]] = field(default_factory=dict)
    """Whose event was yielded at which time, and is not known to be stored yet."""
    _claimed: set[str] = field(default_factory=set)
    """Whose events nobody else stores from now on."""
    _passed_over: set[str] = field(default_factory=set)
    """Who turned out to be too old for an event, which is to be written down yet."""
    _gone: set[str] = field(default_factory=set)
    """Who was deleted. If it is listed all the same, as with the key that is the right one again, it is watched."""
    _refused_at: dict[str, float] = field(default_factory=dict)
    """When (epoch seconds) one that could not be read had the list swept for it last."""
    _told_of: set[str] = field(default_factory=set)
    """Of whom it was told that they cannot be read."""
    _held_since: float | None = None
    _trouble: str | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _callbacks: ExpectedCallbacks | None = None

    async def run(self, listing: AsyncIterator[Discovery]) -> AsyncGenerator[dict[str, Any]]:
        """Yield the payload of each event, in order of readiness."""
        # Reading the configuration can take its time.
        await asyncio.to_thread(prepare)
        if (reader := reader_of_this_loop()) is not None:
            self._callbacks = ExpectedCallbacks(reader, self.tell)
        unsubscribe = reader.subscribe(self._hear) if reader else None
        following = asyncio.create_task(self._follow(listing))
        following.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if following.done():
                    # Airflow starts the trigger again.
                    await following
                try:
                    async with aclosing(self._what_is_ready()) as payloads:
                        async for payload in payloads:
                            yield payload
                except Exception as error:
                    self._say_why_it_does_not_go_on(error)
        finally:
            for task in [following, *(each.task for each in self._watching.values() if each.task)]:
                task.cancel()
            if unsubscribe is not None:
                unsubscribe()
            if self._discovery is not None:
                self._discovery.is_not_needed_by(self)

    def _hear(self, conversation_ids: Sequence[str]) -> None:
        """Let the list be looked at soon if there are callbacks of conversations that it has not shown yet."""
        if self._discovery:
            self._discovery.look_soon_for(conversation_ids)

    # -- what is listed ------------------------------------------------------------------------------------------

    async def _follow(self, listing: AsyncIterator[Discovery]) -> None:
        async for discovery in listing:
            try:
                await self._take_in(discovery)
            except Exception as error:
                self._say_why_it_does_not_go_on(error)
            else:
                self._trouble = None
            # Also for what could not be settled at the last look.
            self._changed.set()

    def _say_why_it_does_not_go_on(self, error: Exception) -> None:
        # Above all of the state store: without knowing what was done, nothing is done.
        if self._trouble != type(error).__name__:
            self._trouble = type(error).__name__
            self.tell(f"The watch does not go on, trying again at each look: {self._trouble}: {error}")

    async def _take_in(self, discovery: Discovery) -> None:
        now = time.time()
        self._discovery = discovery
        progress = self._progress or await self._begin(now)
        discovery.is_needed_back_to(progress.watched_from, self)
        if not discovery.looks:
            return
        # Whoever begins while others look, or only after a look, finds rows that do not reach back as far as it needs.
        # And asked now: what a further look brings before this one is taken in is not.
        seen_until = discovery.looked_at if discovery.covers(progress.watched_from) else -math.inf
        await self._watch_what_is_new(discovery, progress)
        await self._note_what_is_not_stored(now)
        await self._note_what_was_passed_over()
        if self._callbacks is not None:
            self._callbacks.count_the_lost(now)
        await self._move_on(now, progress, discovery, seen_until)

    async def _begin(self, now: float) -> Progress:
        self._progress = await self.state.load()
        if self._progress is None:
            self._progress = Progress(began=now, watched_from=now - RECENT)
            await self.state.claim(())
            await self.state.save(self._progress)
        return self._progress

    async def _watch_what_is_new(self, discovery: Discovery, progress: Progress) -> None:
        # What went on for long may have ended, and then it stands deep in the list.
        still_open = self._open_without_a_wait(progress)
        unknown = {row.conversation_id: row for row in (*still_open, *self._of_interest(discovery, progress))}
        new = [row for row in unknown.values() if not (row.conversation_id in self._watching or self._is_settled(row))]
        # Who goes on has had no event.
        await self._ask_about({_hour(row) for row in new if not row.was_active} - self._asked_at.keys())
        for row in new:
            if not self._is_settled(row):
                self._watch(row, discovery, progress)

    def _open_without_a_wait(self, progress: Progress) -> list[Listed]:
        rows = [_reopened(one, call) for one, call in progress.open.items() if one not in self._gone]
        return [row for row in rows if not (row.conversation_id in self._watching or self._is_settled(row))]

    def _of_interest(self, discovery: Discovery, progress: Progress) -> list[Listed]:
        return [
            row
            for row in discovery.rows
            if self.wanted.fit(row.labels) and (row.was_active or _created(row) >= progress.watched_from)
        ]

    def _watch(self, row: Listed, discovery: Discovery, progress: Progress) -> None:
        now = time.time()
        schedule = Schedule(started_at=now, interval=self.interval, deadline=math.inf)
        wait = WaitForOne((row.conversation_id,), self.wait_for, self.grace_period, schedule)
        is_of_interest = row.was_active or row.created_at is not None or row.conversation_id in progress.open
        # Not as far as the watch has come when a read tells: by then, it may have become old while it was watched.
        watching = Watching(row, wait, watched_from=-math.inf if is_of_interest else progress.watched_from)
        # Who goes on, by the list, is looked at when an interval is over; who has ended, at once.
        first_look = now + self.interval if row.was_active else None
        watching.task = asyncio.create_task(self._wait(watching, discovery, first_look))
        self._watching[row.conversation_id] = watching

    async def _wait(self, watching: Watching, discovery: Discovery, first_look: float | None) -> None:
        conversation_id = watching.row.conversation_id
        try:
            # News of one can be what others are held back for.
            await carry_out(watching.wait, discovery.settings, first_look, lambda _: self._changed.set())
        except Exception as error:
            del self._watching[conversation_id]
            self._is_not_to_be_had(conversation_id, discovery, error)
            return
        finally:
            self._changed.set()
        watching.is_over = True
        verdict = watching.wait.verdicts[conversation_id]
        heapq.heappush(self._ready, (self._ready_at(watching, verdict), next(self._order), verdict, watching.listed))

    def _ready_at(self, watching: Watching, verdict: Verdict) -> float:
        """Return when a conversation became ready (epoch seconds), or infinity: lately, at a time that is not told."""
        if verdict.ready_at is not None:
            return datetime.fromisoformat(verdict.ready_at).timestamp()
        listed, progress = watching.listed, self._progress
        assert progress is not None, "nobody is watched before the beginning"
        if verdict.state != "ready" or listed.was_active or listed.conversation_id in progress.open:
            return math.inf
        # It was over when first seen, and does not tell since when, as in test mode: the last that it tells of counts.
        last_sign = listed.created_at if watching.wait.last_sign is None else watching.wait.last_sign
        return math.inf if last_sign is None or progress.is_news(last_sign) else last_sign

    def _is_not_to_be_had(self, conversation_id: str, discovery: Discovery, error: Exception) -> None:
        now = time.time()
        refused_at = self._refused_at.get(conversation_id, -math.inf)
        has_swept_since = math.isfinite(refused_at) and discovery.has_swept_since(refused_at)
        # Any other thing than Tavus can answer 404, too: with the list, it is not by chance.
        is_unknown = isinstance(error, UnknownConversationError) or (
            isinstance(error, NotFoundError) and has_swept_since
        )
        if is_unknown and not discovery.lists(conversation_id):
            self.tell(f"Conversation {conversation_id} is neither known to Tavus nor listed any more. No event.")
            self._gone.add(conversation_id)
            return
        if not isinstance(error, TavusError):
            self._say_why_it_does_not_go_on(error)
        elif has_swept_since and conversation_id not in self._told_of:
            self.tell(f"Conversation {conversation_id} cannot be read, trying again at each look: {error}")
            self._told_of.add(conversation_id)
        # It may be gone, or the key was refused, or whatever else: the next look at the list tells, with the connection
        # read again. Not each time: a sweep can be many requests.
        if now >= refused_at + SWEEP_INTERVAL:
            self._refused_at[conversation_id] = now
            discovery.sweep_soon()

    # -- what is ready -------------------------------------------------------------------------------------------

    async def _what_is_ready(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield what is ready, unless it is to be held back a little."""
        while self._ready and not self._is_held_back():
            ready_at, place, verdict, listed = heapq.heappop(self._ready)
            conversation_id = verdict.conversation_id
            try:
                is_news = self._is_of_interest_still(conversation_id) and await self._is_news(verdict, ready_at, listed)
                if is_news and verdict.state == "never":
                    self.tell(f"{verdict} No event.")
                    await self.state.settle(_hour(listed), {conversation_id: verdict.reason or verdict.state})
            except Exception:
                heapq.heappush(self._ready, (ready_at, place, verdict, listed))
                raise
            for row in (listed, self._watching.pop(conversation_id).row):
                self._settled.setdefault(_hour(row), set()).add(conversation_id)
            if is_news and verdict.state == "ready":
                self._unstored[conversation_id] = time.time(), listed
                if self._callbacks is not None:
                    self._callbacks.expect(listed, ready_at)
                metrics.an_event_was_fired()
                yield event_payload(verdict, listed)

    def _is_held_back(self) -> bool:
        """Say whether somebody else may have been ready before."""
        if not any(each.may_be_ready for each in self._watching.values()):
            self._held_since = None
        elif self._held_since is None:
            self._held_since = time.monotonic()
            asyncio.get_running_loop().call_later(LONGEST_HOLD, self._changed.set)
        return self._held_since is not None and time.monotonic() < self._held_since + LONGEST_HOLD

    def _is_of_interest_still(self, conversation_id: str) -> bool:
        """Say whether one of which only a read has told when it was created is of the time that is watched."""
        if not self._watching[conversation_id].is_of_no_interest:
            return True
        self._passed_over.add(conversation_id)
        return False

    async def _is_news(self, verdict: Verdict, ready_at: float, listed: Listed) -> bool:
        assert self._progress is not None, "nobody is watched before the beginning"
        # Another triggerer may have been quicker, that took this one for dead or has died since; or the receiver of
        # callbacks, which asks nobody.
        await self._ask_about({_hour(listed)})
        if self._is_settled(listed):
            return False
        if not self._progress.is_news(ready_at):
            await self.state.settle(_hour(listed), {verdict.conversation_id: "ready before the watch began"})
            return False
        # Who gets no event here is not claimed: another watcher of the asset may have one for it.
        return verdict.state == "never" or await self._claim(listed, self._progress)

    async def _claim(self, listed: Listed, progress: Progress) -> bool:
        """Claim a conversation, with all others that are to be fired, and say whether nobody else was quicker."""
        if listed.conversation_id not in self._claimed:
            ready = [listed, *self._to_be_fired(progress)]
            self._claimed = {*await self.state.claim({*self._unstored, *(each.conversation_id for each in ready)})}
            # Once more: until then, somebody may have stored one.
            for hour in {_hour(each) for each in ready}:
                self._asked_at.pop(hour, None)
            await self._ask_about({_hour(each) for each in ready})
        return listed.conversation_id in self._claimed and not self._is_settled(listed)

    def _to_be_fired(self, progress: Progress) -> list[Listed]:
        return [
            listed
            for ready_at, _, verdict, listed in self._ready
            if verdict.state == "ready" and progress.is_news(ready_at)
        ]

    # -- who is settled ------------------------------------------------------------------------------------------

    def _is_settled(self, row: Listed) -> bool:
        return row.conversation_id in self._settled.get(_hour(row), ())

    async def _ask_about(self, hours: Collection[str]) -> None:
        """Ask the state store who is settled of those created in these hours, if it was not asked just now."""
        now = time.monotonic()
        asked = [hour for hour in hours if now >= self._asked_at.get(hour, -math.inf) + ANSWER_HOLDS]
        for hour, ids in zip(asked, await asyncio.gather(*map(self.state.settled, asked)), strict=True):
            self._settled.setdefault(hour, set()).update(ids)
            self._asked_at[hour] = now
            for conversation_id in self._unstored.keys() & ids:
                del self._unstored[conversation_id]

    async def _note_what_is_not_stored(self, now: float) -> None:
        """Settle by ourselves whose event Airflow has stored by now without telling our listener."""
        for conversation_id, (fired_at, listed) in list(self._unstored.items()):
            if now > fired_at + STORED_WITHIN:
                hour = _hour(listed)
                if conversation_id not in await self.state.settled(hour):
                    await self.state.settle(hour, {conversation_id: "ready"})
                del self._unstored[conversation_id]

    async def _note_what_was_passed_over(self) -> None:
        """Settle those that are too old under the hour of their rows, so that they are not read again."""
        # Together: a list that tells no times can have thousands of them, and a note is written with all before it.
        if passed_over := set(self._passed_over):
            await self.state.settle(
                hour_of(None), dict.fromkeys(passed_over, "created before the time that is watched")
            )
            self._passed_over -= passed_over

    # -- moving on -----------------------------------------------------------------------------------------------

    async def _move_on(self, now: float, progress: Progress, discovery: Discovery, seen_until: float) -> None:
        """Keep how far the watch has come, and forget what is of no interest any more."""
        # Not by the clock: while the account cannot be read, nobody is seen who is created.
        watched_from = max(progress.watched_from, seen_until - LOOKBACK)
        watching = [each.listed for each in self._watching.values() if not each.is_of_no_interest]
        # A wait can have broken since the look: it is begun again at the next one.
        pending = watching + self._open_without_a_wait(progress) + [listed for _, listed in self._unstored.values()]
        still_open = {row.conversation_id: _as_open(row) for row in pending if _created(row) < watched_from}
        if still_open.keys() == progress.open.keys() and now < self._saved_at + SAVE_INTERVAL:
            return
        self._progress = Progress(progress.began, watched_from, still_open)
        await self.state.save(self._progress)
        self._saved_at = now
        self._gone &= still_open.keys()
        self._told_of &= self._watching.keys()
        self._refused_at = {one: moment for one, moment in self._refused_at.items() if one in self._watching}
        # Only now: whoever finds these forgotten is to find them out of the time that is watched as well.
        needed = {_hour(row) for row in (*pending, *self._of_interest(discovery, self._progress))}
        # The hour before them, too: the process before this one may have died at this point. And no process has written
        # anything about what came long after the last time, or this one knows of it.
        kept_from = watched_from - KEPT
        gone_by = _hours(progress.watched_from - KEPT - HOUR, min(kept_from, progress.watched_from + LOOKBACK + HOUR))
        for hour in (gone_by | self._settled.keys()) - needed:
            if hour < _hour_at(kept_from):
                await self.state.forget(hour)
            if hour < _hour_at(watched_from):
                self._settled.pop(hour, None)
                self._asked_at.pop(hour, None)


def _hour(row: Listed) -> str:
    return hour_of(_created_at(row))


def _hour_at(moment: float) -> str:
    return hour_of(iso(utc(moment)))


def _hours(first: float, last: float) -> set[str]:
    """Return the hours between two moments, with theirs."""
    return {_hour_at(first + passed * HOUR) for passed in range(int((last - first) / HOUR) + 1)} | {_hour_at(last)}


def _created(row: Listed) -> float:
    return math.inf if row.created_at is None else row.created_at


def _created_at(row: Listed) -> str | None:
    return None if row.created_at is None else iso(utc(row.created_at))


def _as_open(row: Listed) -> OpenCall:
    return {"created_at": row.created_at, "pal_id": row.labels.pal_id, "face_id": row.labels.face_id}


def _reopened(conversation_id: str, call: OpenCall) -> Listed:
    labels = Labels(pal_id=call["pal_id"], face_id=call["face_id"])
    return Listed(conversation_id, call["created_at"], was_active=False, labels=labels, callback_url=None)


def event_payload(verdict: Verdict, listed: Listed) -> dict[str, Any]:
    """Return what the event of a conversation holds: ids, status and times."""
    return {
        "conversation_id": verdict.conversation_id,
        "pal_id": listed.labels.pal_id,
        "face_id": listed.labels.face_id,
        "status": verdict.status,
        "state": verdict.state,
        "shutdown_reason": verdict.shutdown_reason,
        "created_at": _created_at(listed),
        "ended_at": verdict.ended_at,
        "ready_at": verdict.ready_at,
    }
