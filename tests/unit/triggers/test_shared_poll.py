"""Many waits of one account in one event loop: what they ask together, and that none gets in another's way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextvars import ContextVar
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.callbacks import metrics
from airflow_provider_tavus.conversations.events import has_ended
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.hooks.tavus import TavusHook, make_async_client
from airflow_provider_tavus.testing import ListView, Script, TavusBox
from airflow_provider_tavus.triggers import polls, shared_poll, watched
from airflow_provider_tavus.triggers.conversation import ConversationTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.api.models import Conversation

pytestmark = pytest.mark.usefixtures("connect")

# Importing it takes longer on a busy machine than the first test waits.
make_async_client(ClientSettings(api_key="none"))

INTERVAL = 0.2


def wait_for(conversation_id: str, **changes: Any) -> asyncio.Task[Any]:
    """Begin a wait as a deferred sensor does, one interval after it looked itself."""
    now = time.time()
    arguments: dict[str, Any] = {
        "conversation_ids": [conversation_id],
        "wait_for": ["application.transcription_ready"],
        "grace_period": 600,
        "poll_interval": INTERVAL,
        "deadline": now + 20,
        "started_at": now,
        "next_look": now + INTERVAL,
    }
    trigger = ConversationTrigger(**arguments | changes)

    async def event() -> Any:
        async for event in trigger.run():
            return event.payload
        raise AssertionError("The trigger ended without an event.")

    return asyncio.create_task(event())


def calls(box: TavusBox, count: int, seconds: float) -> list[str]:
    """Let calls begin that end, with their transcripts, after so many seconds."""
    script = Script.finished(seconds=seconds, transcript_delay=0.0)
    return [box.add(script) for _ in range(count)]


async def cancelled(waits: list[asyncio.Task[Any]]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def ends(waits: list[asyncio.Task[Any]]) -> list[tuple[str, str | None]]:
    events = await asyncio.wait_for(asyncio.gather(*waits), 20)
    return [(event["status"], event.get("conversations", [{}])[0].get("state")) for event in events]


async def test_the_list_stands_in_for_the_reads_of_all_who_are_on_it(box: TavusBox) -> None:
    # Long enough for a busy machine: the list may come late by as much before anybody is read in its place.
    interval = 1.0
    waits = [wait_for(one, poll_interval=interval, next_look=time.time() + interval) for one in calls(box, 60, 9.0)]
    while not box.count("list"):  # noqa: ASYNC110 - the box is in another thread
        await asyncio.sleep(0.01)
    await asyncio.sleep(5 * interval)

    # By themselves they would be read 300 times.
    assert box.count("get") <= 30
    assert box.count("list") <= 5 + 2
    assert await ends(waits) == [("done", "ready")] * 60
    assert box.count("get") <= 60 + 35


async def test_others_have_their_turn_while_many_conversations_are_dealt_with(
    box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_poll, "AT_A_TIME", 5)
    waits = [wait_for(one) for one in calls(box, 60, 60.0)]
    most, known = 0, set[tuple[str, float]]()
    while most == 0 or len({when for _, when in known}) < 3:
        await asyncio.sleep(0)
        now_known = {
            (one.conversation_id, one.seen_active)
            for shared in polls._polls.get(asyncio.get_running_loop(), {}).values()
            if shared.opening.done()
            for one in shared.opening.result()._watched.values()
            if one.seen_active > 0
        }
        most = max(most, len(now_known - known))
        known |= now_known

    assert most == 5
    await cancelled(waits)


async def test_whom_nobody_has_looked_at_yet_is_read_although_the_list_has_it(box: TavusBox) -> None:
    ids = calls(box, 20, 60.0)
    waits = [wait_for(one, next_look=None) for one in ids]
    await asyncio.sleep(5 * INTERVAL)

    assert [box.count("get", one) for one in ids] == [1] * 20
    for wait in waits:
        wait.cancel()


async def test_waits_that_are_cancelled_while_the_poll_is_opened_leave_nothing_behind(box: TavusBox) -> None:
    waits = [wait_for(one) for one in calls(box, 3, 60.0)]
    while not polls._polls.get(asyncio.get_running_loop()):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)

    assert polls._polls[asyncio.get_running_loop()] == {}


async def test_a_wait_alone_is_read_by_itself(box: TavusBox) -> None:
    (one,) = calls(box, 1, 0.5)

    assert await ends([wait_for(one)]) == [("done", "ready")]
    assert box.count("list") == 0


async def test_a_conversation_within_its_grace_is_read_at_its_interval(box: TavusBox) -> None:
    ids = [box.add(Script.finished(seconds=0.3, transcript_delay=1.0)) for _ in range(5)]

    assert await ends([wait_for(one) for one in ids]) == [("done", "ready")] * 5
    assert 5 < box.count("get") <= 5 * (1.3 / INTERVAL + 2)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 403}, id="403"),
        pytest.param({"kind": "html", "status": 200}, id="HTML"),
        pytest.param({"kind": "cut"}, id="cut off"),
        pytest.param({"kind": "hang"}, id="no answer"),
        pytest.param({"status": 200, "body": {"data": [], "total_count": 0}}, id="empty"),
        pytest.param({"status": 200, "body": {"data": [], "total_count": 99}}, id="empty but for its count"),
        pytest.param({"status": 200, "body": {"data": [None, {"x": 1}], "total_count": 2}}, id="nonsense"),
    ],
)
async def test_without_a_list_everybody_is_read_by_themselves(
    trouble: dict[str, Any], box: TavusBox, connect: Callable[..., str]
) -> None:
    connect(extra={"read_timeout": 0.5})
    box.trouble(route="list", **trouble)
    ids = calls(box, 5, 0.8)

    assert await ends([wait_for(one) for one in ids]) == [("done", "ready")] * 5


async def test_the_list_comes_back_when_it_can_be_had_again(box: TavusBox) -> None:
    trouble = box.trouble(route="list", status=500)
    waits = [wait_for(one) for one in calls(box, 20, 3.0)]
    await asyncio.sleep(0.7)
    trouble.stop()
    await asyncio.sleep(1.2)
    box.forget_requests()
    await asyncio.sleep(0.6)

    assert box.count("get") == 0
    assert box.count("list") > 0
    assert await ends(waits) == [("done", "ready")] * 20


async def test_a_list_that_shows_the_ended_as_active_loses_nobody(
    box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LONGEST_UNVERIFIED", 0.0)
    ids = calls(box, 5, 0.5)
    rows = [{"conversation_id": one, "status": "active"} for one in ids]
    box.trouble(route="list", status=200, body={"data": rows, "total_count": 5})

    assert await ends([wait_for(one) for one in ids]) == [("done", "ready")] * 5


async def test_a_list_whose_pages_shift_and_are_cut_short_loses_nobody(box: TavusBox) -> None:
    box.trouble("list_cap", limit=3)
    box.trouble("list_order", order="random")
    ids = calls(box, 10, 0.5) + calls(box, 10, 1.0)

    assert await ends([wait_for(one) for one in ids]) == [("done", "ready")] * 20


async def test_a_list_too_long_to_be_worth_it_is_not_read_to_its_end(box: TavusBox) -> None:
    calls(box, 50, 60.0)
    box.trouble("list_cap", limit=5)
    ids = calls(box, 3, 1.0)

    assert await ends([wait_for(one) for one in ids]) == [("done", "ready")] * 3
    assert box.count("list") <= 3 * 3


async def test_a_list_that_was_too_long_for_a_few_is_asked_as_soon_as_there_are_many(box: TavusBox) -> None:
    def wait_slowly_for(one: str) -> asyncio.Task[Any]:
        return wait_for(one, poll_interval=1.0, next_look=time.time() + 1.0)

    calls(box, 30, 60.0)
    box.trouble("list_cap", limit=5)
    few = calls(box, 3, 4.0)
    waits = [wait_slowly_for(one) for one in few]
    await asyncio.sleep(1.3)
    many = calls(box, 30, 3.0)
    waits += [wait_slowly_for(one) for one in many]
    await asyncio.sleep(1.5)

    assert not any(box.count("get", one) for one in many)
    assert await ends(waits) == [("done", "ready")] * 33


async def test_a_list_that_takes_its_time_is_begun_so_early_that_nobody_is_known_late(box: TavusBox) -> None:
    box.account.list_view = ListView(limit_cap=3)
    box.trouble("latency", route="list", seconds=0.2)
    # Ten pages of two seconds in all; a second of these is what may come on top of an interval.
    waits = [wait_for(one, poll_interval=4.0, next_look=time.time() + 0.5) for one in calls(box, 30, 60.0)]
    await asyncio.sleep(9)
    await cancelled(waits)

    began = [request.monotonic for request in box.requests_of("list") if request.query["page"] == "1"]
    pauses = [later - earlier for earlier, later in pairwise(began)]
    assert pauses
    assert all(2.5 < pause < 3.7 for pause in pauses), pauses


async def test_one_in_a_hurry_does_not_let_a_long_list_be_asked_as_often(box: TavusBox) -> None:
    box.trouble("list_cap", limit=2)
    slow = [wait_for(one, poll_interval=1.0, next_look=time.time() + 1.0) for one in calls(box, 20, 60.0)]
    (quick,) = calls(box, 1, 60.0)
    waits = [*slow, wait_for(quick)]
    await asyncio.sleep(2.7)

    # Eleven pages, twice; with every look of the one in a hurry it would be 130 of them.
    assert 0 < box.count("list") <= 3 * 11
    assert box.count("get", quick) >= 5
    await cancelled(waits)


async def test_waits_that_back_off_let_the_list_be_asked_ever_more_rarely(box: TavusBox) -> None:
    waits = [wait_for(one, exponential_backoff=True) for one in calls(box, 20, 60.0)]
    await asyncio.sleep(1.2)
    box.forget_requests()
    await asyncio.sleep(2.0)

    # Their pauses have grown to 0.8 s and more; at their first one it would be ten times.
    assert 1 <= box.count("list") <= 3
    assert box.count("get") <= 20
    await cancelled(waits)


async def test_a_list_that_is_put_off_is_no_reason_for_single_reads(box: TavusBox) -> None:
    box.trouble(route="list", status=429, times=2)
    waits = [wait_for(one) for one in calls(box, 30, 60.0)]
    await asyncio.sleep(1.5)

    assert box.count("list", status=200) > 0
    assert box.count("get") <= 5
    await cancelled(waits)


async def test_a_list_that_is_always_put_off_is_done_without(box: TavusBox) -> None:
    box.trouble(route="list", status=429)
    waits = [wait_for(one) for one in calls(box, 12, 2.0)]

    assert await ends(waits) == [("done", "ready")] * 12


async def test_a_fault_of_ours_with_the_list_costs_nobody_the_wait(
    box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("airflow_provider_tavus.triggers.active_list.ActiveList.ask", broken)
    waits = [wait_for(one) for one in calls(box, 5, 0.8)]

    assert await ends(waits) == [("done", "ready")] * 5


async def test_nobody_waits_beyond_the_deadline_because_tavus_wants_a_pause(box: TavusBox) -> None:
    box.trouble(route="get", status=503, retry_after=3600, times=1)
    deadline = time.time() + 1.5
    waits = [wait_for(one, deadline=deadline) for one in calls(box, 3, 60.0)]
    ready = wait_for(*calls(box, 1, 0.8), deadline=deadline)

    assert await ends([*waits, ready]) == [("timeout", "waiting")] * 3 + [("done", "ready")]
    assert deadline <= time.time() < deadline + 2


async def test_the_newest_has_its_turn_while_tavus_refuses_most(box: TavusBox) -> None:
    box.trouble(route="list", status=500)
    box.trouble(route="get", status=429, chance=0.5, retry_after=0)
    waits = [wait_for(one) for one in calls(box, 40, 60.0)]
    await asyncio.sleep(1.0)
    (newest,) = calls(box, 1, 0.0)

    assert await ends([wait_for(newest, next_look=None)]) == [("done", "ready")]
    await cancelled(waits)


async def test_what_tavus_asks_of_one_is_obeyed_by_all(box: TavusBox) -> None:
    box.trouble(route="get", status=429, retry_after=1, times=1)
    box.trouble(route="list", status=500)
    waits = [wait_for(one) for one in calls(box, 10, 0.3)]

    assert await ends(waits) == [("done", "ready")] * 10
    (refused,) = [request for request in box.requests if request.status == 429]
    others = [one for one in box.requests if refused.monotonic + 0.1 < one.monotonic < refused.monotonic + 1.0]
    assert others == []


async def test_a_storm_of_refusals_is_no_tight_loop(box: TavusBox) -> None:
    trouble = box.trouble(status=429)
    waits = [wait_for(one) for one in calls(box, 50, 0.1)]
    await asyncio.sleep(2.5)

    # At once, and after pauses of 0.2, 0.4, 0.8 and 1.6 s, and never more than may be in flight.
    assert box.count() <= 5 * (shared_poll.READS_IN_FLIGHT + 1)
    trouble.stop()
    assert await ends(waits) == [("done", "ready")] * 50


async def test_one_that_is_cancelled_touches_no_other(box: TavusBox) -> None:
    waits = [wait_for(one) for one in calls(box, 10, 0.8)]
    await asyncio.sleep(0.3)
    for wait in waits[::2]:
        wait.cancel()

    assert await ends(waits[1::2]) == [("done", "ready")] * 5


async def test_one_that_is_cancelled_while_it_is_read_touches_no_other(box: TavusBox) -> None:
    box.trouble("latency", route="get", seconds=0.3)
    box.trouble(route="list", status=500, times=1)
    waits = [wait_for(one) for one in calls(box, 4, 1.5)]
    await asyncio.sleep(INTERVAL + 0.15)
    waits.pop().cancel()

    assert await ends(waits) == [("done", "ready")] * 3


async def test_a_list_that_is_wrong_each_time_makes_nobody_be_read_faster(box: TavusBox) -> None:
    box.trouble(route="list", status=200, body={"data": [], "total_count": 0})
    quick, slow = calls(box, 2, 2.5)
    waits = [wait_for(quick), wait_for(slow, poll_interval=1.0, next_look=time.time() + 1.0)]

    assert await ends(waits) == [("done", "ready")] * 2
    assert box.count("get", slow) <= 2.5 / 1.0 + 2


async def test_one_that_fails_touches_no_other(box: TavusBox) -> None:
    waits = [wait_for("c404"), *[wait_for(one) for one in calls(box, 4, 0.8)]]

    assert await ends(waits) == [("error", None), *[("done", "ready")] * 4]


async def test_a_fault_of_ours_with_one_touches_no_other(box: TavusBox, monkeypatch: pytest.MonkeyPatch) -> None:
    odd, *others = calls(box, 5, 0.8)

    def broken_for_one(conversation: Conversation) -> bool:
        if conversation.conversation_id == odd:
            raise RuntimeError("a bug of ours")
        return has_ended(conversation)

    monkeypatch.setattr("airflow_provider_tavus.triggers.shared_poll.has_ended", broken_for_one)
    # It would be read at the end alone, as the list has it: let somebody look at it first.
    broken = wait_for(odd, next_look=None)
    waits = [wait_for(one) for one in others]

    with pytest.raises(RuntimeError, match="a bug of ours"):
        await asyncio.wait_for(broken, 10)
    assert await ends(waits) == [("done", "ready")] * 4


async def test_a_log_that_cannot_be_written_touches_no_other(box: TavusBox) -> None:
    schedule = Schedule(started_at=time.time(), interval=INTERVAL, deadline=time.time() + 20)
    settings = ClientSettings(api_key=box.api_key, base_url=box.base_url)
    (one,) = calls(box, 1, 0.8)

    def disk_full(_: str) -> None:
        raise OSError("No space left on device")

    wait = Wait((one,), ("application.transcription_ready",), 600, schedule)
    with pytest.raises(OSError, match="No space left"):
        await asyncio.gather(
            polls.carry_out(wait, settings, None, disk_full), other := wait_for(one), return_exceptions=False
        )
    assert await ends([other]) == [("done", "ready")]


async def test_metrics_that_cannot_be_told_touch_nobody(box: TavusBox, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        def __getattr__(self, _: str) -> Any:
            raise OSError("no StatsD server there")

    monkeypatch.setattr(metrics, "Stats", Unreachable())
    waits = [wait_for(one) for one in calls(box, 5, 0.6)]

    assert await ends(waits) == [("done", "ready")] * 5


async def test_metrics_count_what_was_asked(box: TavusBox, monkeypatch: pytest.MonkeyPatch) -> None:
    told: Counter[str] = Counter()
    stats = SimpleNamespace(
        incr=lambda name, times=1: told.update({name: times}), timing=lambda name, _: told.update({name: 1})
    )
    monkeypatch.setattr(metrics, "Stats", stats)
    await ends([wait_for(one) for one in calls(box, 10, 0.8)])

    assert told == {
        "tavus.waits.began": 10,
        "tavus.waits.over": 10,
        "tavus.polls": box.count("list"),
        "tavus.reads": box.count("get"),
        "tavus.wake_up_latency": 10,
    }


async def test_each_wait_keeps_its_own_deadline(box: TavusBox) -> None:
    (one,) = calls(box, 1, 1.2)
    short = wait_for(one, deadline=time.time() + 0.5)
    long = wait_for(one)

    assert (await short)["status"] == "timeout"
    assert await ends([long]) == [("done", "ready")]


async def test_two_waits_for_one_conversation_share_its_reads(box: TavusBox) -> None:
    (one,) = calls(box, 1, 1.0)

    assert await ends([wait_for(one) for _ in range(20)]) == [("done", "ready")] * 20
    assert box.count("get") <= 1.0 / INTERVAL + 3


async def test_a_wrong_key_wakes_everybody_at_the_cost_of_few_requests(box: TavusBox) -> None:
    waits = [wait_for(one) for one in calls(box, 50, 60.0)]
    await asyncio.sleep(0.3)
    box.trouble(status=401)

    assert await ends(waits) == [("error", None)] * 50
    assert box.count(status=401) <= shared_poll.READS_IN_FLIGHT + 2


async def test_a_conversation_that_the_key_is_refused_for_fails_alone(box: TavusBox) -> None:
    another_ones, *ids = calls(box, 6, 0.8)
    box.trouble(status=401, conversation_id=another_ones)
    refused, *waits = [wait_for(one, next_look=None) for one in (another_ones, *ids)]

    assert await ends([refused]) == [("error", None)]
    assert await ends(waits) == [("done", "ready")] * 5


async def test_after_a_refusal_the_connection_is_read_again_once_for_all(
    box: TavusBox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0
    resolve = TavusHook.resolve_settings

    async def counted(hook: TavusHook) -> ClientSettings:
        nonlocal readings
        readings += 1
        return await resolve(hook)

    waits = [wait_for(one) for one in calls(box, 20, 1.5)]
    await asyncio.sleep(0.3)
    monkeypatch.setattr(TavusHook, "resolve_settings", counted)
    box.api_key = "rotated-key"
    connect(password="rotated-key")

    assert await ends(waits) == [("done", "ready")] * 20
    assert readings == 1


async def test_a_key_can_be_rotated_more_than_once_in_a_wait(box: TavusBox, connect: Callable[..., str]) -> None:
    waits = [wait_for(one) for one in calls(box, 5, 3.0)]
    for key in ("second-key", "third-key"):
        await asyncio.sleep(0.8)
        box.api_key = key
        connect(password=key)

    assert await ends(waits) == [("done", "ready")] * 5


async def test_a_connection_that_leads_elsewhere_meanwhile_takes_no_wait_along(
    box: TavusBox, connect: Callable[..., str]
) -> None:
    (before,) = calls(box, 1, 1.0)
    begun = wait_for(before)
    await asyncio.sleep(0.3)
    with TavusBox.in_thread(api_key="another-key") as other:
        connect(host=other.base_url, password="another-key")
        (after,) = calls(other, 1, 0.5)

        assert await ends([begun, wait_for(after)]) == [("done", "ready")] * 2
        assert {request.conversation_id for request in box.requests} == {before}
        assert {request.conversation_id for request in other.requests} == {after}


async def test_a_rotated_key_is_read_again_before_anybody_fails(box: TavusBox, connect: Callable[..., str]) -> None:
    waits = [wait_for(one) for one in calls(box, 20, 1.5)]
    await asyncio.sleep(0.3)
    box.api_key = "rotated-key"
    connect(password="rotated-key")

    assert await ends(waits) == [("done", "ready")] * 20


async def test_two_connections_to_one_account_share_and_two_accounts_do_not(
    box: TavusBox, connect: Callable[..., str]
) -> None:
    same = connect("tavus_same")
    slow = connect("tavus_slow", extra={"read_timeout": 7})
    ids = calls(box, 3, 60.0)
    waits = [wait_for(ids[0]), wait_for(ids[1], tavus_conn_id=same), wait_for(ids[2], tavus_conn_id=slow)]
    await asyncio.sleep(0.5)

    assert len(polls._polls[asyncio.get_running_loop()]) == 2
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    assert polls._polls[asyncio.get_running_loop()] == {}


async def test_a_poll_that_breaks_leaves_nobody_hanging(box: TavusBox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(shared_poll, "has_ended", broken)
    waits = [wait_for(one) for one in calls(box, 3, 0.2)]

    for end in await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 10):
        assert isinstance(end, RuntimeError)


async def test_a_poll_closes_after_its_last_wait_although_one_could_not_join(box: TavusBox) -> None:
    one = box.add(Script.active())
    unreckonable = Schedule(started_at=time.time(), interval="30", deadline=time.time() + 20)  # type: ignore[arg-type]
    good = wait_for(one)
    while not box.requests:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    (shared,) = polls._polls[asyncio.get_running_loop()].values()
    poll = shared.opening.result()

    with pytest.raises(TypeError):
        await poll.carry_out(Wait((one,), (), 600, unreckonable), time.time(), lambda _: None)
    await cancelled([good])

    if poll._running is not None:
        await asyncio.wait_for(poll._running, 10)
    assert poll._running is None


async def test_a_poll_that_is_cancelled_by_whomever_goes_on(box: TavusBox) -> None:
    box.trouble("latency", route="get", seconds=0.3)
    waits = [wait_for(one, next_look=None) for one in calls(box, 12, 0.2)]
    while not box.requests:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    (shared,) = polls._polls[asyncio.get_running_loop()].values()
    running = shared.opening.result()._running
    assert running is not None
    running.cancel()

    assert await ends(waits) == [("done", "ready")] * 12


async def test_what_is_seen_is_told_to_the_log_of_the_wait_that_it_is_about(box: TavusBox) -> None:
    whose: ContextVar[str] = ContextVar("whose")
    told: list[tuple[str, str]] = []
    schedule = Schedule(started_at=time.time(), interval=INTERVAL, deadline=time.time() + 20)
    settings = ClientSettings(api_key=box.api_key, base_url=box.base_url)

    async def wait(conversation_id: str) -> None:
        whose.set(conversation_id)
        wait = Wait((conversation_id,), ("application.transcription_ready",), 600, schedule)
        await polls.carry_out(wait, settings, time.time(), lambda line: told.append((whose.get(), line)))

    await asyncio.gather(*map(wait, calls(box, 3, 0.5)))

    assert len(told) >= 3
    assert all(f"Conversation {owner} " in line for owner, line in told)


async def test_a_change_of_state_is_one_line_and_a_poll_none(box: TavusBox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    told: list[str] = []
    # By the eleventh look, two seconds from now at the soonest, it has ended.
    box.trouble(route="get", status=500, after=11, times=3)
    schedule = Schedule(started_at=time.time(), interval=INTERVAL, deadline=time.time() + 20)
    settings = ClientSettings(api_key=box.api_key, base_url=box.base_url)
    one = box.add(Script.finished(seconds=1.5, transcript_delay=4.0))
    wait = Wait((one,), ("application.transcription_ready",), 600, schedule)
    await polls.carry_out(wait, settings, None, told.append)

    assert box.count("get", one) > 8
    assert [line.split(";")[0].split(",")[0] for line in told] == [
        f"Conversation {one} is active",
        f"Conversation {one} has ended",
        f"Conversation {one} could not be read",
        f"Conversation {one} has ended",
        f"Conversation {one} has ended and its results are there.",
    ]
    assert [record.name for record in caplog.records if record.name.startswith("airflow_provider_tavus")] == []
