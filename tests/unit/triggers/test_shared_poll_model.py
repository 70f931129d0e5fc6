"""
Whatever happens to waits that share a poll, each ends as a poll of its own would have ended it, and as soon.

The poll and the box go by one clock that only the test moves; beside each wait runs a model of a poll of its own,
which knows the truth.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.hooks.tavus import make_async_client
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox
from airflow_provider_tavus.triggers import shared_poll
from airflow_provider_tavus.triggers.shared_poll import LONGEST_SPREAD, SharedPoll
from airflow_provider_tavus.triggers.watched import LONGEST_UNVERIFIED

GRACE = 40.0
WANTED = ("application.transcription_ready",)
SLACK = LONGEST_SPREAD + 0.01

LIST_FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "429": {"status": 429},
    "HTML": {"kind": "html", "status": 200},
    "cut off": {"kind": "cut"},
    "empty": {"status": 200, "body": {"data": [], "total_count": 0}},
    "empty but for its count": {"status": 200, "body": {"data": [], "total_count": 50}},
    "others": {"status": 200, "body": {"data": [{"conversation_id": "x", "status": "active"}], "total_count": 1}},
    "two rows a page": {"kind": "list_cap", "limit": 2},
    "any order": {"kind": "list_order", "order": "random"},
}


@dataclass(eq=False)
class Life:
    """The truth about a conversation, in epoch seconds."""

    conversation_id: str
    end: float
    transcript_delay: float | None

    def verdict(self, now: float) -> str:
        if self.transcript_delay is not None and now >= max(self.end, self.end + self.transcript_delay):
            return "ready"
        if self.transcript_delay is None and now >= self.end + GRACE:
            return "never"
        return "waiting"


@dataclass(eq=False)
class PollOfItsOwn:
    """What a wait is held to: the same looks, each at its conversation and at nothing else."""

    life: Life
    wait: Wait
    next_look: float
    task: asyncio.Task[None]
    ended_at: float | None = None
    slowest_tick: float = 0.0
    verdicts: list[str] = field(default_factory=list)

    def look(self, now: float) -> None:
        """Look if it is time; more than one verdict is right if things changed while the last look was due."""
        schedule = self.wait.schedule
        verdict = self.life.verdict(now)
        if verdict != "waiting" or schedule.is_over(now):
            self.ended_at = now
            self.verdicts = [verdict]
            if self.life.verdict(schedule.deadline) == "waiting":
                self.verdicts.append("waiting")
        else:
            self.next_look = schedule.next_look(now)

    def pause(self, now: float) -> float:
        """How long it pauses after a look; with a backoff, ever longer."""
        return self.wait.schedule.next_look(now) - now

    def latest_end(self, since: float) -> float:
        return since + self.pause(since) + self.slowest_tick + SLACK


class SharedWaits(RuleBasedStateMachine):
    """Joins, cancels, ends, lies of the list, faults and steps of the clock, in any order."""

    def __init__(self) -> None:
        super().__init__()
        # So that few conversations are dealt with as many are.
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(shared_poll, "AT_A_TIME", 2)
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(start=1_800_000_000)
        self.hosted = TavusBox.in_thread(clock=self.clock)
        self.box = self.hosted.__enter__()
        client = make_async_client(ClientSettings(api_key=self.box.api_key, base_url=self.box.base_url))
        self.poll = SharedPoll(client, self.clock)
        self.lives: list[Life] = []
        self.waits: list[PollOfItsOwn] = []
        self.reads_fail: Any = None
        self.list_trouble: Any = None
        self.list_lies = False
        self.clear_since = self.clock.now()
        """Since when nothing has kept the poll from the truth."""
        self.jumped_at = 0.0
        """When the clock last made a step in which all fell due, so that their reads are spread from then on."""

    @initialize(count=st.integers(2, 8))
    def begin(self, count: int) -> None:
        for number in range(count):
            self.call(seconds=10.0 * (number + 1), transcript_delay=1.0)
            self.join(which=number, interval=5.0, timeout=300.0, in_a_while=True)

    @rule(
        seconds=st.sampled_from([1.0, 7.0, 30.0, 200.0]), transcript_delay=st.sampled_from([-0.5, 0.0, 3.0, 20.0, None])
    )
    def call(self, seconds: float, transcript_delay: float | None) -> None:
        conversation_id = self.box.add(Script.finished(seconds=seconds, transcript_delay=transcript_delay))
        self.lives.append(Life(conversation_id, self.clock.now() + seconds, transcript_delay))

    @rule(
        which=st.integers(0, 20),
        interval=st.sampled_from([0.5, 2.0, 5.0, 20.0]),
        timeout=st.sampled_from([15.0, 60.0, 3600.0]),
        in_a_while=st.booleans(),
        backoff=st.booleans(),
        longest_interval=st.sampled_from([None, 60.0]),
    )
    def join(
        self,
        which: int,
        interval: float,
        timeout: float,
        in_a_while: bool,
        backoff: bool = False,
        longest_interval: float | None = None,
    ) -> None:
        life = self.lives[which % len(self.lives)]
        now = self.clock.now()
        schedule = Schedule(now, interval, now + timeout, backoff, longest_interval)
        wait = Wait((life.conversation_id,), WANTED, GRACE, schedule)
        first_look = now + interval if in_a_while else None

        async def take_part() -> None:
            await self.poll.carry_out(wait, first_look, lambda line: None)

        self.waits.append(PollOfItsOwn(life, wait, first_look or now, self.loop.create_task(take_part())))
        self.settle()

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        if self.waits:
            self.waits.pop(which % len(self.waits)).task.cancel()
        self.settle()

    @rule(which=st.integers(0, 20))
    def end(self, which: int) -> None:
        life = self.lives[which % len(self.lives)]
        if life.end > self.clock.now():
            self.box.end(life.conversation_id)
            life.end = self.clock.now()

    @rule(seconds=st.sampled_from([0.4, 1.0, 2.0, 2.0, 5.0, 5.0, 17.0, 100.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.settle(advance=seconds)

    @rule(steps=st.integers(10, 40))
    def time_passes_step_by_step(self, steps: int) -> None:
        for _ in range(steps):
            self.settle(advance=0.3)

    @rule(kind=st.sampled_from(sorted(LIST_FAULTS)))
    def the_list_fails(self, kind: str) -> None:
        self.the_list_is_right_again()
        self.list_trouble = self.box.trouble(**{"kind": "answer", "route": "list"} | LIST_FAULTS[kind])

    @rule()
    def the_list_is_frozen(self) -> None:
        self.the_list_is_right_again()
        rows = [{"conversation_id": life.conversation_id, "status": "active"} for life in self.lives]
        self.list_trouble = self.box.trouble(route="list", status=200, body={"data": rows, "total_count": len(rows)})
        self.list_lies = True

    @rule()
    def the_list_is_right_again(self) -> None:
        if self.list_trouble is not None:
            self.list_trouble.stop()
            self.list_trouble = None
        if self.list_lies:
            self.list_lies = False
            self.clear_since = self.clock.now()

    @rule()
    def reads_begin_or_cease_to_fail(self) -> None:
        if self.reads_fail is None:
            self.reads_fail = self.box.trouble(route="get", status=500)
        else:
            self.reads_fail.stop()
            self.reads_fail = None
            self.clear_since = self.clock.now()

    def settle(self, advance: float = 0.0) -> None:
        """Move the clock, let everything happen that is due by then, and compare."""
        self.loop.run_until_complete(self._settle(advance))
        now = self.clock.now()
        if advance >= 100:
            self.jumped_at = now
        reads = Counter(request.conversation_id for request in self.box.requests_of("get"))
        self.box.forget_requests()
        assert max(reads.values(), default=1) == 1, "nobody is read twice at one moment"
        tick = self.poll._tick.seconds
        for own in list(self.waits):
            if tick <= own.pause(now):
                own.slowest_tick = max(own.slowest_tick, tick)
            if own.ended_at is None and now >= own.next_look:
                if self.reads_fail is None:
                    own.look(now)
                elif own.wait.schedule.is_over(now):
                    own.ended_at, own.verdicts = now, ["waiting"]
                else:
                    own.next_look = own.wait.schedule.next_look(now)
            self.compare(own, now)

    async def _settle(self, advance: float) -> None:
        self.clock.advance(advance)
        quiet = 0
        while quiet < 5:
            await asyncio.sleep(0)
            poll = self.poll
            busy = poll._running and (poll._reads or poll._listing or poll._changed.is_set())
            quiet = 0 if busy else quiet + 1

    def compare(self, own: PollOfItsOwn, now: float) -> None:
        if own.task.done():
            own.task.result()
            (verdict,) = own.wait.verdicts.values()
            truths = {own.life.verdict(now), *own.verdicts}
            if own.wait.schedule.is_over(now):
                truths.add("waiting")
            assert verdict.state in truths, (verdict, truths)
            self.waits.remove(own)
        elif own.ended_at is not None:
            since = (own.ended_at, self.clear_since, self.jumped_at, self.poll._brake.until)
            latest = max(map(own.latest_end, since))
            unverified = max(LONGEST_UNVERIFIED, 20 * own.wait.schedule.interval)
            if self.list_lies:
                latest += unverified
            assert now <= latest or self.reads_fail, f"still waiting {now - latest} s after it should know"

    def teardown(self) -> None:
        try:
            if self.reads_fail is not None:
                self.reads_begin_or_cease_to_fail()
            self.the_list_is_right_again()
            for life in self.lives:
                self.end(self.lives.index(life))
            for step in range(300):
                if not self.waits:
                    break
                # Who backs off may have got to pauses of an hour.
                self.settle(advance=1.0 if step < 200 else 60.0)
            assert not self.waits
            # Nobody waits any more: nothing is to be left behind.
            assert not self.poll._waiters
            assert not self.poll._watched
            assert not self.poll._active
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0.01))
            self.loop.close()
            self.hosted.__exit__(None, None, None)
            self.patches.undo()


SharedWaits.TestCase.settings = settings(
    max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSharedWaits = SharedWaits.TestCase
