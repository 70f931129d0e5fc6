"""
One poll for all the waits of one account in one event loop.

The waits of a triggerer ask the same question, and few calls are active at once: so the list of active
conversations is asked, and only who has left it is read. The list is a hint. That a conversation is missing from
it costs a read; that it is on it puts a read off, and never for good.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections import Counter, deque
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_tavus.api.errors import AuthenticationError, RateLimitError, TavusError
from airflow_provider_tavus.conversations.events import ended_at, has_ended
from airflow_provider_tavus.hooks.tavus import make_async_client
from airflow_provider_tavus.triggers import metrics
from airflow_provider_tavus.triggers.active_list import ActiveList, ListFailedError
from airflow_provider_tavus.triggers.callbacks import prepare, reader_of_this_loop
from airflow_provider_tavus.triggers.clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.api.settings import ClientSettings
    from airflow_provider_tavus.conversations.wait import Wait
    from airflow_provider_tavus.triggers.callbacks import CallbackReader
    from airflow_provider_tavus.triggers.clock import Clock

log = logging.getLogger(__name__)

READS_IN_FLIGHT = 8
"""How many conversations are read at a time."""

LONGEST_UNVERIFIED = 300.0
"""Seconds (or twenty intervals, if that is longer) after which a conversation is read though the list has it."""

LONGEST_PENALTY = 60.0
"""Seconds that all requests pause, at most, after a refusal that names no time itself."""

CLOCKS_DIFFER_BY = 2.0
"""Seconds by which Tavus' clock and ours may differ before its list seems late."""

LONGEST_SPREAD = 0.5
"""Seconds (or one interval, if that is shorter) over which the reads of all who have left the list are spread."""

AFTER_A_HINT = 1.0
"""Seconds between two reads of a conversation, at least, however often somebody says that it has changed."""

READING = -1.0
"""The due time of a conversation that is being read, or whose turn has come."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A wait that takes part, and what it has looked at since its time was up."""

    wait: Wait
    over: asyncio.Future[None]
    tell: Callable[[str], object]
    """Writes a line into the log of the task that waits."""
    looked_at_last: set[str] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Watched:
    """A conversation that somebody waits for; all times in epoch seconds."""

    conversation_id: str
    seen_active: float
    """When it was last on the list of active conversations."""
    read_at: float
    """When it was last read by itself."""
    due: float = math.inf
    """When it is to be looked at next."""
    has_its_turn: bool = False
    """Whether ``due`` is its turn among many that fell due together."""
    hinted: bool = False
    """Whether somebody has said that it has changed, since it was last read."""
    waiters: set[Waiter] = field(default_factory=set)

    @property
    def interval(self) -> float:
        """Seconds between two reads, at least: the shortest that anybody who waits for it has asked for."""
        return min(waiter.wait.schedule.interval for waiter in self.waiters)


class SharedPoll:
    """
    Carries out waits together, all over one client.

    :param client: opened when the first wait joins and closed when the last one has left.
    :param clock: the time that the waits' schedules go by.
    :param reader: tells of callbacks, where there are any.
    """

    def __init__(
        self, client: AsyncTavusClient, clock: Clock | None = None, reader: CallbackReader | None = None
    ) -> None:
        self._client = client
        self._clock = clock or WallClock()
        self._reader = reader
        self._waiters: set[Waiter] = set()
        self._intervals: Counter[float] = Counter()
        self._watched: dict[str, Watched] = {}
        self._active: set[str] = set()
        """Whom no read has found ended yet: for them, the list can stand in for a read."""
        self._queue: list[tuple[float, int, Watched]] = []
        self._order = count()
        self._next_to_read: deque[Watched] = deque()
        self._changed = asyncio.Event()
        self._reads: set[asyncio.Task[None]] = set()
        self._list = ActiveList(client)
        self._listing: asyncio.Task[None] | None = None
        self._next_list = 0.0
        self._list_failures = 0
        self._list_is_too_long = False
        self._not_before = 0.0
        self._refusals = 0
        self._running: asyncio.Task[None] | None = None

    # -- taking part ---------------------------------------------------------------------------------------------

    async def carry_out(self, wait: Wait, first_look: float | None, tell: Callable[[str], object]) -> None:
        """
        Return once every conversation of ``wait`` has its verdict, or its time is up.

        :param first_look: epoch seconds before which not to look; None if nobody has looked yet.
        :param tell: called with a sentence for each change that is seen.
        :raises TavusError: if waiting cannot cure it.
        """
        # Airflow finds the log that a line belongs to by the context of whoever writes it.
        own_context = copy_context()
        waiter = Waiter(
            wait, asyncio.get_running_loop().create_future(), lambda sentence: own_context.run(tell, sentence)
        )
        self._join(waiter, first_look)
        metrics.a_wait_began()
        try:
            await waiter.over
        finally:
            self._leave(waiter)
            metrics.a_wait_is_over()

    def _join(self, waiter: Waiter, first_look: float | None) -> None:
        interval = waiter.wait.schedule.interval
        # Whom nobody has looked at yet is read, whatever the list says; else the last look was one interval before.
        looked_at = -math.inf if first_look is None else first_look - interval
        due = self._clock.now() if first_look is None else first_look
        self._waiters.add(waiter)
        self._intervals[interval] += 1
        for conversation_id in waiter.wait.undecided:
            watched = self._watched.get(conversation_id)
            if watched is None:
                watched = self._watched[conversation_id] = Watched(conversation_id, looked_at, looked_at)
                self._active.add(conversation_id)
            watched.waiters.add(waiter)
            if due < watched.due and watched.due != READING:
                self._plan(watched, due)
        if first_look is not None and self._reader is not None:
            # A callback may have come between the last look and now, when nobody was told of it.
            self.look_at_once(filter(self._reader.came, waiter.wait.undecided))
        if not waiter.wait.undecided:
            waiter.over.set_result(None)
        if self._list_is_too_long and len(self._active) > self._list.pages:
            # It no longer is, for so many.
            self._list_is_too_long, self._list_failures = False, 0
        if not self._list_failures:
            # It may be in more of a hurry than those for whom the list was to be asked next.
            self._next_list = min(self._next_list, self._clock.now() + self._tick)
        if self._running is None:
            # It outlives whoever happens to be the first, and is not to write into that one's log.
            self._running = asyncio.create_task(self._run(), context=Context())
        self._changed.set()

    def _leave(self, waiter: Waiter) -> None:
        self._waiters.discard(waiter)
        interval = waiter.wait.schedule.interval
        self._intervals[interval] -= 1
        if not self._intervals[interval]:
            del self._intervals[interval]
        for conversation_id in waiter.wait.conversation_ids:
            self._forget(waiter, conversation_id)
        self._changed.set()

    def _forget(self, waiter: Waiter, conversation_id: str) -> None:
        watched = self._watched.get(conversation_id)
        if watched is not None:
            watched.waiters.discard(waiter)
            if not watched.waiters:
                del self._watched[conversation_id]
                self._active.discard(conversation_id)

    # -- hints ---------------------------------------------------------------------------------------------------

    def look_at_once(self, conversation_ids: Iterable[str]) -> None:
        """Read those of these conversations that somebody waits for at once: they are said to have changed."""
        for conversation_id in conversation_ids:
            watched = self._watched.get(conversation_id)
            if watched is not None:
                watched.hinted = True
                if watched.due != READING:
                    self._plan_after_a_hint(watched)
        self._changed.set()

    def _plan_after_a_hint(self, watched: Watched) -> None:
        due = max(self._clock.now(), watched.read_at + AFTER_A_HINT)
        if due < watched.due:
            self._plan(watched, due, has_its_turn=True)

    # -- the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        unsubscribe = self._reader.subscribe(self.look_at_once) if self._reader else None
        try:
            async with self._client:
                while self._waiters:
                    self._changed.clear()
                    self._begin_what_is_due(self._clock.now())
                    await self._sleep()
        except Exception as error:
            # Whatever broke: nobody is to wait for ever.
            self._end_all(error)
        finally:
            if unsubscribe is not None:
                unsubscribe()
            for task in (*self._reads, *filter(None, [self._listing])):
                task.cancel()
            # Somebody may have joined while the client was closed.
            joined = any(not waiter.over.done() for waiter in self._waiters)
            self._running = asyncio.create_task(self._run()) if joined else None

    def _begin_what_is_due(self, now: float) -> None:
        if now < self._not_before:
            return
        if self._listing is None and self._list_is_cheaper and now >= self._next_list:
            self._listing = asyncio.create_task(self._ask_list(now))
            self._listing.add_done_callback(self._list_is_done)
        self._take_turns(now)
        while self._next_to_read and len(self._reads) < READS_IN_FLIGHT:
            watched = self._next_to_read.popleft()
            if self._watched.get(watched.conversation_id) is watched:
                read = asyncio.create_task(self._read(watched))
                self._reads.add(read)
                read.add_done_callback(self._read_is_done)

    def _take_turns(self, now: float) -> None:
        """Let those who are due be read next, or spread them if they are many that fell due together."""
        have_their_turn: list[Watched] = []
        fell_due: list[Watched] = []
        while self._queue and self._queue[0][0] <= now:
            due, _, watched = heapq.heappop(self._queue)
            if due != watched.due or self._watched.get(watched.conversation_id) is not watched:
                continue  # planned anew meanwhile, or nobody waits for it any more
            if (put_off := self._put_off(watched)) > now:
                self._plan(watched, put_off)
            else:
                # At once: it may be in the queue once more, planned for the same moment.
                watched.due = READING
                (have_their_turn if watched.has_its_turn else fell_due).append(watched)
        if len(fell_due) > READS_IN_FLIGHT:
            self._spread(fell_due, now)
        else:
            have_their_turn += fell_due
        self._next_to_read += have_their_turn

    def _spread(self, many: list[Watched], now: float, longest: float = math.inf) -> None:
        """Let each have its turn within its interval, or within ``longest`` seconds, and none before it may be read."""
        for place, watched in enumerate(many):
            turn = now + min(watched.interval, longest) * place / len(many)
            turn = max(turn, watched.read_at + watched.interval)
            if not (watched.has_its_turn and watched.due <= turn):
                self._plan(watched, turn, has_its_turn=True)

    async def _sleep(self) -> None:
        moments = []
        if self._queue:
            moments.append(self._queue[0][0])
        if self._listing is None and self._list_is_cheaper:
            moments.append(self._next_list)
        alarm = asyncio.create_task(self._wake_at(max(min(moments), self._not_before))) if moments else None
        try:
            await self._changed.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _wake_at(self, moment: float) -> None:
        await self._clock.wait_until(moment)
        self._changed.set()

    def _read_is_done(self, task: asyncio.Task[None]) -> None:
        self._reads.discard(task)
        self._is_done(task)

    def _list_is_done(self, task: asyncio.Task[None]) -> None:
        self._listing = None
        self._is_done(task)

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_all(error)

    # -- the list ------------------------------------------------------------------------------------------------

    @property
    def _tick(self) -> float:
        return min(self._intervals, default=0.0)

    @property
    def _list_is_cheaper(self) -> bool:
        # While it is done without, it is asked now and then whatever it may cost: it may have become shorter.
        return len(self._active) > (1 if self._list_failures else self._list.pages)

    async def _ask_list(self, now: float) -> None:
        self._next_list = now + self._tick
        try:
            listed = await self._list.ask(most_pages=len(self._active))
        except ListFailedError as failure:
            self._do_without_list(f"it could not be had: {failure.__cause__}")
            self._obey(failure.__cause__)
            return
        if not listed.complete:
            self._do_without_list("it has more pages than there are conversations waited for")
            self._list_is_too_long = True
            return
        if self._list_failures:
            log.info("The list of active conversations is of use again.")
        self._list_is_too_long, self._list_failures = False, 0
        have_left = []
        for conversation_id in self._active:
            watched = self._watched[conversation_id]
            if conversation_id in listed.ids:
                watched.seen_active = now
            elif watched.due != READING:
                watched.seen_active = -math.inf
                have_left.append(watched)
        # Soon, but never more often than they would be read without the list: that may be wrong each time.
        self._spread(have_left, now, longest=LONGEST_SPREAD)

    def _do_without_list(self, why: str) -> None:
        """Leave it to single reads for a while: the list is asked ever more rarely, and comes back."""
        now = self._clock.now()
        if not self._list_failures:
            log.info("Without the list of active conversations for a while, each one is read by itself: %s", why)
            self._spread([self._watched[one] for one in self._active if self._watched[one].due != READING], now)
        self._list_failures += 1
        self._next_list = now + self._tick * min(2**self._list_failures, 32)

    def _put_off(self, watched: Watched) -> float:
        """Return until when a read that is due can wait, because the list has said or will say that it is active."""
        without_the_list = not self._list_is_cheaper or self._list_failures
        if watched.hinted or watched.conversation_id not in self._active or without_the_list:
            return 0.0
        verified_until = watched.read_at + max(LONGEST_UNVERIFIED, 20 * watched.interval)
        # The list has the first word: it comes once in every tick.
        known_until = watched.seen_active + watched.interval + self._tick
        return min(known_until, verified_until, *(waiter.wait.schedule.deadline for waiter in watched.waiters))

    # -- the reads -----------------------------------------------------------------------------------------------

    async def _read(self, watched: Watched) -> None:
        from airflow_provider_tavus.api import calls

        began = watched.read_at = self._clock.now()
        watched.hinted = False
        metrics.a_conversation_was_read()
        call = calls.get_conversation(watched.conversation_id, verbose=True)
        try:
            # Not repeated here: the waits themselves come back, after their intervals.
            conversation = await self._client.send(call, repeat=False)
        except AuthenticationError as error:
            # It is the same key for all of them.
            self._end_all(error)
        except TavusError as error:
            self._obey(error)
            self._tell(watched, error, began)
        else:
            self._refusals = 0
            self._learn(watched, conversation)
            self._tell(watched, conversation, began)

    def _learn(self, watched: Watched, conversation: Conversation) -> None:
        if not has_ended(conversation):
            if self._watched.get(watched.conversation_id) is watched:
                self._active.add(watched.conversation_id)
            return
        self._active.discard(watched.conversation_id)
        end = ended_at(conversation)
        if end is not None and watched.seen_active > end.timestamp() + self._tick + CLOCKS_DIFFER_BY:
            self._do_without_list("it is late, and had one that was long over")

    def _tell(self, watched: Watched, news: Conversation | TavusError, began: float) -> None:
        conversation_id = watched.conversation_id
        now = self._clock.now()
        for waiter in list(watched.waiters):
            wait = waiter.wait
            sentence = wait.missed(conversation_id, news) if isinstance(news, TavusError) else wait.saw(news, now)
            if sentence:
                waiter.tell(sentence)
            if wait.schedule.is_over(now):
                waiter.looked_at_last.add(conversation_id)
            state = wait.verdicts[conversation_id].state
            if state != "waiting":
                self._forget(waiter, conversation_id)
            if state == "ready" and not isinstance(news, TavusError):
                metrics.a_wait_woke_up(wait, news, now)
            self._end_if_over(waiter)
        if watched.waiters:
            self._plan(watched, min(waiter.wait.next_look(began) for waiter in watched.waiters))
            if watched.hinted:
                self._plan_after_a_hint(watched)

    def _end_if_over(self, waiter: Waiter) -> None:
        if waiter.over.done():
            return
        if waiter.wait.failure:
            waiter.over.set_exception(waiter.wait.failure)
        elif waiter.looked_at_last.issuperset(waiter.wait.undecided):
            waiter.over.set_result(None)

    def _end_all(self, error: BaseException) -> None:
        for waiter in self._waiters:
            if not waiter.over.done():
                waiter.over.set_exception(error)
        # Whoever joins from now on finds nothing that was begun for those.
        self._watched.clear()
        self._active.clear()
        self._queue.clear()
        self._next_to_read.clear()

    def _plan(self, watched: Watched, due: float, *, has_its_turn: bool = False) -> None:
        watched.due = due
        watched.has_its_turn = has_its_turn
        heapq.heappush(self._queue, (due, next(self._order), watched))

    def _obey(self, error: BaseException | None) -> None:
        """Slow all waits down together if Tavus asks for it."""
        if isinstance(error, RateLimitError) or getattr(error, "retry_after", None) is not None:
            asked_for = getattr(error, "retry_after", None)
            now = self._clock.now()
            if asked_for is None and now < self._not_before:
                return  # one of several that were on their way when the first was refused
            own_measure = min(self._tick, 1.0) * 2 ** min(self._refusals, 10)
            pause = min(own_measure, LONGEST_PENALTY) if asked_for is None else asked_for
            self._refusals += 1
            self._not_before = max(self._not_before, now + pause)


@dataclass(eq=False, slots=True)
class Shared:
    """A poll that is open, or about to be, and how many waits take part or are about to."""

    opening: asyncio.Task[SharedPoll]
    users: int = 0


_polls: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClientSettings, Shared]]
_polls = WeakKeyDictionary()
"""Keyed by the account itself and not by a connection's id: teams never mix, and a rotated key is another poll."""


async def carry_out(
    wait: Wait, settings: ClientSettings, first_look: float | None, tell: Callable[[str], object]
) -> None:
    """
    Carry out ``wait`` together with all others of the same account in this event loop.

    :param first_look: epoch seconds before which not to look; None if nobody has looked yet.
    :param tell: called with a sentence for each change that is seen.
    :raises TavusError: if waiting cannot cure it.
    """
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    if settings not in polls:
        polls[settings] = Shared(asyncio.create_task(_open_poll(settings), context=Context()))
    shared = polls[settings]
    shared.users += 1
    try:
        # Shielded: others wait for the same one.
        poll = await asyncio.shield(shared.opening)
        await poll.carry_out(wait, first_look, tell)
    finally:
        shared.users -= 1
        if not shared.users and polls.get(settings) is shared:
            del polls[settings]


async def _open_poll(settings: ClientSettings) -> SharedPoll:
    # The first import of an HTTP library and the reading of a CA bundle would stop every other trigger.
    await asyncio.to_thread(metrics.prepare)
    await asyncio.to_thread(prepare)
    return SharedPoll(await asyncio.to_thread(make_async_client, settings), reader=reader_of_this_loop())
