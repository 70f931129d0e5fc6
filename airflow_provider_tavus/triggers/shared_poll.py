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
from itertools import count
from typing import TYPE_CHECKING

from airflow_provider_tavus.api.errors import AuthenticationError, TavusError
from airflow_provider_tavus.conversations.events import ended_at, has_ended
from airflow_provider_tavus.triggers import long_lived, metrics
from airflow_provider_tavus.triggers.active_list import ActiveList, ListFailedError
from airflow_provider_tavus.triggers.brake import Brake
from airflow_provider_tavus.triggers.clock import WallClock
from airflow_provider_tavus.triggers.pace import NEVER, Paces
from airflow_provider_tavus.triggers.watched import READING, Waiter, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.conversations.wait import Wait
    from airflow_provider_tavus.triggers.callbacks import CallbackReader
    from airflow_provider_tavus.triggers.clock import Clock
    from airflow_provider_tavus.triggers.pace import Tick

log = logging.getLogger(__name__)

READS_IN_FLIGHT = 8
"""How many conversations are read at a time."""

AT_A_TIME = 500
"""How many conversations are dealt with in one turn of the event loop, which every other trigger waits for."""

CLOCKS_DIFFER_BY = 2.0
"""Seconds by which Tavus' clock and ours may differ before its list seems late."""

LONGEST_SPREAD = 0.5
"""Seconds (or one interval, if that is shorter) over which the reads of all who have left the list are spread."""

REFUSALS_OF_THE_LIST = 3
"""So often in a row Tavus may put the list off before it is done without: single reads are more requests yet."""

LONGEST_WITHOUT_LIST = 300.0
"""Seconds (or two ticks, if that is longer) after which a list that was done without is asked again."""

LATE_AT_MOST = 1.0
"""Seconds beyond the interval after which a conversation that has ended is known to have, at most."""

AFTER_A_HINT = 1.0
"""Seconds between two reads of a conversation, at least, however often somebody says that it has changed."""


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
        self._active: dict[str, Watched] = {}
        """Whom no read has found ended yet: for them, the list can stand in for a read."""
        self._paces = Paces()
        """How often each of those is to be looked at."""
        self._queue: list[tuple[float, int, Watched]] = []
        self._order = count()
        self._next_to_read: deque[Watched] = deque()
        self._changed = asyncio.Event()
        self._reads: set[asyncio.Task[None]] = set()
        self._list = ActiveList(client)
        self._listing: asyncio.Task[None] | None = None
        self._next_list = 0.0
        self._listed_at = 0.0
        self._have_left: set[Watched] = set()
        """Who had left the list when it was asked last, and has not been read since."""
        self._list_failures = 0
        self._list_refusals = 0
        self._list_is_too_long = False
        self._brake = Brake()
        self._key_check = asyncio.Lock()
        self._key_checks = 0
        self._key_is_wrong = False
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
        try:
            # Whoever cannot join is to leave as well: the poll goes on as long as anybody takes part.
            self._join(waiter, first_look)
        except Exception:
            self._leave(waiter)
            raise
        metrics.a_wait_began()
        long_lived.a_wait_began()
        try:
            await waiter.over
        finally:
            self._leave(waiter)
            long_lived.a_wait_is_over()
            metrics.a_wait_is_over()

    def _join(self, waiter: Waiter, first_look: float | None) -> None:
        now = self._clock.now()
        self._waiters.add(waiter)
        self._intervals[waiter.wait.schedule.interval] += 1
        for conversation_id in waiter.wait.undecided:
            self._watch(conversation_id, waiter, first_look, now)
        if first_look is not None and self._reader is not None:
            # A callback may have come between the last look and now, when nobody was told of it.
            self.look_at_once(filter(self._reader.came, waiter.wait.undecided))
        if not waiter.wait.undecided:
            waiter.end()
        if self._list_is_too_long and self._paces.best_tick(self._list.pages) is not NEVER:
            # It no longer is, for so many.
            self._list_is_too_long, self._list_failures = False, 0
        if not self._list_failures:
            # It may be in more of a hurry than those for whom the list was to be asked next.
            self._next_list = min(self._next_list, now + self._tick.seconds)
        if self._running is None:
            # It outlives whoever happens to be the first, and is not to write into that one's log.
            self._running = asyncio.create_task(self._run(), context=Context())
        self._changed.set()

    def _watch(self, conversation_id: str, waiter: Waiter, first_look: float | None, now: float) -> None:
        interval = waiter.wait.schedule.interval
        due = now if first_look is None else first_look
        watched = self._watched.get(conversation_id)
        if watched is None:
            # Whom nobody has looked at yet is read, whatever the list says.
            watched = Watched(conversation_id, due - interval, due, wants_read=first_look is None)
            self._watched[conversation_id] = watched
            watched.add(waiter)
            self._count_active(watched)
        else:
            watched.planned = min(watched.planned, max(due, watched.read_at + interval))
            watched.add(waiter)
            if watched.pause is not None:
                self._count_active(watched)
        if due < watched.due and watched.due != READING:
            self._plan(watched, due)

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
        if watched is None or waiter not in watched.waiters:
            return
        watched.waiters.discard(waiter)
        if not watched.waiters:
            del self._watched[conversation_id]
            self._count_no_more(watched)
        elif watched.pause is not None:
            self._count_active(watched)

    def _count_active(self, watched: Watched) -> None:
        """Count a conversation among those that the list can stand in for, as often as it is to be looked at now."""
        pause = watched.present_pause()
        if watched.pause != pause:
            self._count_no_more(watched)
            watched.pause = pause
            self._paces.add(pause)
            self._active[watched.conversation_id] = watched

    def _count_no_more(self, watched: Watched) -> None:
        if watched.pause is not None:
            self._paces.remove(watched.pause)
            watched.pause = None
            del self._active[watched.conversation_id]

    # -- hints ---------------------------------------------------------------------------------------------------

    def look_at_once(self, conversation_ids: Iterable[str]) -> None:
        """Read those of these conversations that somebody waits for at once: they are said to have changed."""
        for conversation_id in conversation_ids:
            watched = self._watched.get(conversation_id)
            if watched is not None:
                watched.wants_read = True
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
            # Somebody may have joined while the client was closed, or the poll alone was cancelled.
            go_on = any(not waiter.over.done() for waiter in self._waiters)
            if go_on:
                self._begin_anew()
            self._running = asyncio.create_task(self._run()) if go_on else None

    def _begin_anew(self) -> None:
        self._next_to_read.clear()
        for watched in self._watched.values():
            if watched.due == READING:
                self._plan(watched, self._clock.now())

    def _begin_what_is_due(self, now: float) -> None:
        if self._listing is None and not self._brake.is_on(now):
            self._begin_list_if_due(now)
        if self._brake.is_on(now):
            self._hold_back(now)
        self._take_turns(now)
        while self._next_to_read and len(self._reads) < READS_IN_FLIGHT:
            watched = self._next_to_read.popleft()
            if self._is_watched(watched):
                read = asyncio.create_task(self._read(watched))
                self._reads.add(read)
                read.add_done_callback(self._read_is_done)

    def _begin_list_if_due(self, now: float) -> None:
        if not self._list_failures and self._tick is NEVER and self._tick_if_short is not NEVER:
            self._list_is_too_long = True
            self._do_without_list("there are fewer conversations waited for than it has pages")
        if self._tick is not NEVER and now >= self._next_list:
            self._listing = asyncio.create_task(self._ask_list(now, self._tick))
            self._listing.add_done_callback(self._list_is_done)

    def _hold_back(self, now: float) -> None:
        """Let those whose turn had come wait with all others."""
        while self._next_to_read:
            watched = self._next_to_read.popleft()
            if self._is_watched(watched):
                self._plan(watched, now)

    def _take_turns(self, now: float) -> None:
        """Let those who are due be read next, or spread them if they are many that fell due together."""
        have_their_turn: list[Watched] = []
        fell_due: list[Watched] = []
        for _ in range(AT_A_TIME):
            if not self._queue or self._queue[0][0] > now:
                break
            due, _, watched = heapq.heappop(self._queue)
            if due != watched.due or not self._is_watched(watched):
                continue  # planned anew meanwhile, or nobody waits for it any more
            if (put_off := self._put_off(watched, now)) > now:
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

    def _is_watched(self, watched: Watched) -> bool:
        return self._watched.get(watched.conversation_id) is watched

    def _spread(self, many: list[Watched], now: float, longest: float = math.inf) -> None:
        """Let each have its turn within its interval, or within ``longest`` seconds, and none before it may be read."""
        for place, watched in enumerate(many):
            interval = watched.interval
            turn = now + min(interval, longest) * place / len(many)
            turn = max(turn, watched.planned, watched.next_look - interval)
            if not (watched.has_its_turn and watched.due <= turn):
                self._plan(watched, turn, has_its_turn=True)

    async def _sleep(self) -> None:
        moments = []
        if self._queue:
            moments.append(self._queue[0][0])
        if self._listing is None and self._tick is not NEVER:
            moments.append(max(self._next_list, self._brake.until))
        alarm = asyncio.create_task(self._wake_at(min(moments))) if moments else None
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
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_all(error)

    def _list_is_done(self, task: asyncio.Task[None]) -> None:
        self._listing = None
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._do_without_list(f"it could not be read ({type(error).__name__})")

    # -- the list ------------------------------------------------------------------------------------------------

    @property
    def _tick(self) -> Tick:
        # While it is done without, it is asked now and then whatever it may cost: it may have become shorter.
        return self._tick_if_short if self._list_failures else self._paces.best_tick(self._list.pages)

    @property
    def _tick_if_short(self) -> Tick:
        return self._paces.best_tick(pages=1)

    async def _ask_list(self, now: float, tick: Tick) -> None:
        self._next_list = now + tick.seconds
        try:
            listed = await self._list.ask(tick.most_pages)
        except ListFailedError as failure:
            self._list_failed(failure.__cause__)
            return
        self._list_refusals = 0
        if not listed.complete:
            self._list_is_too_long = True
            self._do_without_list("it has more pages than there are conversations waited for")
            return
        if self._list_failures:
            log.info("The list of active conversations is of use again.")
        self._list_is_too_long, self._list_failures = False, 0
        self._listed_at = now
        await self._compare(listed.ids, now)
        if not self._list_failures:
            self._next_list = now + self._tick.seconds
        if not self._have_left:
            self._make_up_for_the_time_it_took()

    async def _compare(self, listed: set[str], now: float) -> None:
        self._have_left = set()
        active = list(self._active.values())
        for first in range(0, len(active), AT_A_TIME):
            self._compare_some(active[first : first + AT_A_TIME], listed, now)
            await asyncio.sleep(0)

    def _compare_some(self, some: list[Watched], listed: set[str], now: float) -> None:
        have_left = []
        for watched in some:
            if watched.pause is None:
                continue  # it has been found ended meanwhile, or nobody waits for it any more
            if watched.conversation_id in listed:
                watched.seen_active = now
                if watched.backs_off:
                    self._count_active(watched)
            elif watched.due != READING:
                watched.seen_active = -math.inf
                watched.wants_read = True
                have_left.append(watched)
        # Soon, but never more often than they would be read without the list: that may be wrong each time.
        self._spread(have_left, now, longest=LONGEST_SPREAD)
        # Whom a list that is wrong again and again keeps from being read says nothing of the time that reading takes.
        self._have_left.update(watched for watched in have_left if watched.due <= now + LONGEST_SPREAD)

    def _make_up_for_the_time_it_took(self) -> None:
        """Ask the list the sooner, the longer it took until all who had left it were read: many pages, many reads."""
        too_long = self._clock.now() - self._listed_at - LATE_AT_MOST
        tick = self._tick.seconds
        if too_long > 0 and tick < math.inf and not self._list_failures:
            self._next_list = min(self._next_list, self._listed_at + max(tick - too_long, tick / 2))
            self._changed.set()

    def _list_failed(self, cause: BaseException | None) -> None:
        now = self._clock.now()
        if self._brake.pull_for(cause, now, self._first_penalty) and self._list_refusals < REFUSALS_OF_THE_LIST:
            # Too many requests are no reason for more of them: it has its turn again after the pause.
            self._list_refusals += 1
            self._next_list = max(self._brake.until, now + self._first_penalty)
            return
        self._list_refusals = 0
        self._do_without_list(f"it could not be had: {cause}")

    def _do_without_list(self, why: str) -> None:
        """Leave it to single reads for a while: the list is asked ever more rarely, and comes back."""
        now = self._clock.now()
        tick = min(self._tick_if_short.seconds, LONGEST_WITHOUT_LIST)
        if not self._list_failures:
            log.info("Without the list of active conversations for a while, each one is read by itself: %s", why)
            self._spread([watched for watched in self._active.values() if watched.due != READING], now)
        self._list_failures += 1
        self._next_list = now + min(tick * 2 ** min(self._list_failures, 10), max(2 * tick, LONGEST_WITHOUT_LIST))

    def _put_off(self, watched: Watched, now: float) -> float:
        """Return until when a read that is due can wait: Tavus wants a pause, or the list says that it is active."""
        deadline = watched.deadline
        if now >= deadline:
            return now
        until = self._brake.until
        tick = self._tick
        if watched.pause is not None and not watched.wants_read and not self._list_failures and tick is not NEVER:
            known_until = watched.next_look
            if tick.serves(watched.pause):
                # The list has the first word: it comes once in every tick, and after a pause, too.
                known_until = max(known_until, self._brake.until) + tick.seconds
            until = max(until, min(known_until, watched.verified_until))
        return min(until, deadline)

    # -- the reads -----------------------------------------------------------------------------------------------

    async def _read(self, watched: Watched) -> None:
        from airflow_provider_tavus.api import calls

        began = watched.read_at = self._clock.now()
        watched.wants_read = False
        metrics.a_conversation_was_read()
        news: Conversation | TavusError
        try:
            # Not repeated here: the waits themselves come back, after their intervals.
            news = await self._client.send(calls.look_at_conversation(watched.conversation_id), repeat=False)
            self._brake.release()
            self._learn(watched, news)
        except AuthenticationError as error:
            if await self._the_key_is_refused():
                # It is the same key for all of them.
                self._end_all(error)
                return
            news = error
        except TavusError as error:
            self._brake.pull_for(error, self._clock.now(), self._first_penalty)
            news = error
        except Exception as fault:
            # What cannot be done with one conversation is no reason to end the waits for others.
            self._end(watched.waiters, fault)
            return
        self._tell(watched, news, began)
        if watched in self._have_left:
            self._have_left.remove(watched)
            if not self._have_left:
                self._make_up_for_the_time_it_took()

    async def _the_key_is_refused(self) -> bool:
        """Ask for something else with the same key: that one conversation is refused says nothing about the others."""
        from airflow_provider_tavus.api import calls

        checks = self._key_checks
        async with self._key_check:
            # One answer is enough for all who were refused before it.
            if self._key_checks == checks:
                try:
                    await self._client.send(calls.list_conversations(limit=1), repeat=False)
                except TavusError as error:
                    self._key_is_wrong = isinstance(error, AuthenticationError)
                else:
                    self._key_is_wrong = False
                self._key_checks += 1
            return self._key_is_wrong

    def _learn(self, watched: Watched, conversation: Conversation) -> None:
        if not has_ended(conversation):
            if self._is_watched(watched) and watched.pause is None:
                self._count_active(watched)
            return
        self._count_no_more(watched)
        end = ended_at(conversation)
        if end is not None and watched.seen_active > end.timestamp() + self._tick.seconds + CLOCKS_DIFFER_BY:
            self._do_without_list("it is late, and had one that was long over")

    def _tell(self, watched: Watched, news: Conversation | TavusError, began: float) -> None:
        for waiter in list(watched.waiters):
            try:
                self._tell_one(waiter, watched.conversation_id, news)
            except Exception as fault:
                self._end([waiter], fault)
        if watched.waiters:
            watched.planned = min(waiter.wait.next_look(began) for waiter in watched.waiters)
            if watched.pause is not None:
                self._count_active(watched)
            self._plan(watched, watched.planned)
            if watched.wants_read:
                self._plan_after_a_hint(watched)

    def _tell_one(self, waiter: Waiter, conversation_id: str, news: Conversation | TavusError) -> None:
        now = self._clock.now()
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
        if wait.failure:
            self._end([waiter], wait.failure)
        elif waiter.looked_at_last.issuperset(wait.undecided):
            waiter.end()

    def _end(self, waiters: Iterable[Waiter], error: BaseException) -> None:
        for waiter in list(waiters):
            waiter.end(error)
            # Whoever joins from now on finds nothing that was begun for those.
            for conversation_id in waiter.wait.conversation_ids:
                self._forget(waiter, conversation_id)

    def _end_all(self, error: BaseException) -> None:
        self._end(self._waiters, error)

    def _plan(self, watched: Watched, due: float, *, has_its_turn: bool = False) -> None:
        watched.due = due
        watched.has_its_turn = has_its_turn
        heapq.heappush(self._queue, (due, next(self._order), watched))

    @property
    def _first_penalty(self) -> float:
        """Seconds that all requests pause after the first refusal that names no time itself."""
        return min(1.0, min(self._intervals, default=1.0))
