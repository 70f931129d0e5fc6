"""How often the list is read, and what callbacks of conversations that nobody has seen change about it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import ListView, Script, TavusBox
from airflow_provider_tavus.triggers import discovery, watch
from airflow_provider_tavus.triggers.discovery import Discovery
from airflow_provider_tavus.triggers.event import ConversationEventTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from airflow_provider_tavus.api.models import ConversationPage

pytestmark = pytest.mark.usefixtures("connect")

LONG = 600.0
"""Seconds between two looks that nobody hurries."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "SHORTEST_PAUSE", 0.1)


async def eventually(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up, "It does not come."
        await asyncio.sleep(0.01)


@asynccontextmanager
async def looking(interval: float = LONG) -> AsyncIterator[Discovery]:
    """Look at the list again and again, from after the first look on."""
    one = Discovery("tavus_default", interval, lambda _: None)
    looks = 0

    async def look() -> None:
        nonlocal looks
        async for _ in one.run():
            looks += 1

    task = asyncio.create_task(look())
    await eventually(lambda: looks >= 2)
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_callback_of_a_conversation_that_nobody_has_seen_lets_the_list_be_looked_at_soon(box: TavusBox) -> None:
    async with looking() as one:
        call = box.add(Script.active())
        one.look_soon_for([call])
        await eventually(lambda: [row.conversation_id for row in one.rows] == [call])


async def test_a_callback_of_a_conversation_that_was_seen_is_no_reason_to_look(box: TavusBox) -> None:
    call = box.add(Script.active())
    async with looking() as one:
        before = box.count("list")
        one.look_soon_for([call])
        await asyncio.sleep(0.5)
    assert box.count("list") == before


async def test_the_list_is_looked_at_once_for_an_id_that_it_does_not_have_however_often_its_callbacks_come(
    box: TavusBox,
) -> None:
    box.add(Script.active())
    async with looking() as one:
        before = box.count("list")
        for _ in range(20):
            one.look_soon_for(["c-of-another-account"])
            await asyncio.sleep(0.05)
        assert box.count("list") == before + 1
        one.look_soon_for(["c-of-another-account", "c-of-yet-another"])
        await eventually(lambda: box.count("list") == before + 2)


async def test_only_the_last_of_those_that_were_not_listed_are_remembered(
    box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "REMEMBERED", 2)
    async with looking() as one:
        for looks, conversation_id in enumerate(["c1", "c2", "c3"], one.looks + 1):
            one.look_soon_for([conversation_id])
            await eventually(lambda looks=looks: one.looks == looks)  # type: ignore[misc]
        one.look_soon_for(["c2", "c3"])
        await asyncio.sleep(0.3)
        assert one.looks == looks
        one.look_soon_for(["c1"])
        await eventually(lambda: one.looks == looks + 1)


async def test_the_rows_stay_those_of_the_last_look_until_a_sweep_is_complete(box: TavusBox) -> None:
    # What a watcher does not find in them it takes for not there, and moves on.
    box.account.list_view = ListView(limit_cap=1)
    calls = {box.add(Script.active()) for _ in range(3)}
    async with looking(interval=0.1) as one:
        await eventually(lambda: one.looks)
        box.trouble("latency", route="list", seconds=0.1)
        looks = one.looks
        one.sweep_soon()
        while one.looks < looks + 2:
            assert {row.conversation_id for row in one.rows} == calls
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize(
    "total_count", [lambda _: None, lambda rows: rows, lambda _: 0], ids=["none", "of the page", "0"]
)
async def test_nobody_is_missed_in_a_list_that_does_not_tell_how_long_it_is(
    order: Any, total_count: Callable[[int], int | None], box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Discovery._read

    async def read(self: Discovery, number: int, status: str | None = None) -> ConversationPage:
        page = await as_it_is(self, number, status)
        return page.model_copy(update={"total_count": total_count(page.row_count)})

    monkeypatch.setattr(Discovery, "_read", read)
    monkeypatch.setattr(discovery, "ROWS_ASKED_FOR", 4)
    box.account.list_view = ListView(order=order)
    for age in range(6):
        box.add(Script.finished(), created_at=time.time() - 86_400 - age)
    async with looking(interval=0.1) as one:
        one.is_needed_back_to(time.time() - 3600, watcher=None)
        new = {box.add(Script.finished(), created_at=time.time() - 60 - age) for age in range(6)}
        await eventually(lambda: {row.conversation_id for row in one.rows} == new)


async def test_a_sweep_that_breaks_off_takes_nothing_out_of_the_rows(box: TavusBox) -> None:
    box.account.list_view = ListView(limit_cap=1)
    calls = {box.add(Script.active()) for _ in range(2)}
    async with looking(interval=0.1) as one:
        await eventually(lambda: one.looks)
        new = box.add(Script.active())
        looks, before = one.looks, box.count("list", status=503)
        trouble = box.trouble(route="list", status=503)
        one.sweep_soon()
        await eventually(lambda: box.count("list", status=503) > before + 3)
        assert {row.conversation_id for row in one.rows} >= calls
        trouble.stop()
        await eventually(lambda: one.looks > looks + 1)
        assert {row.conversation_id for row in one.rows} == {*calls, new}


async def test_a_callback_that_comes_while_the_list_is_read_counts_for_the_look_after(box: TavusBox) -> None:
    async with looking() as one:
        before = box.count("list")
        slow = box.trouble("latency", route="list", seconds=2, times=1)
        one.look_soon_for(["c-of-another-account"])
        await asyncio.sleep(1)
        one.look_soon_for(["c-that-came-late"])
        await eventually(lambda: box.count("list") == before + 2)
        slow.stop()
        await asyncio.sleep(0.3)
        assert box.count("list") == before + 2


async def test_callbacks_do_not_cut_short_a_pause_that_tavus_asked_for(box: TavusBox) -> None:
    async with looking() as one:
        before = box.count("list")
        trouble = box.trouble(route="list", status=429, retry_after=3600)
        one.look_soon_for(["c1"])
        await eventually(lambda: box.count("list") == before + 1)
        for number in range(10):
            one.look_soon_for([f"c-{number}"])
            await asyncio.sleep(0.05)
        assert box.count("list") == before + 1
        trouble.stop()


async def test_after_a_pause_the_next_look_is_for_all_whose_callbacks_came_meanwhile(box: TavusBox) -> None:
    async with looking(interval=1.0) as one:
        call = box.add(Script.active())
        refused = box.trouble(route="list", status=401)
        await eventually(lambda: box.count("list", status=401))
        one.look_soon_for([call, "c-of-another-account"])
        before = one.looks
        refused.stop()
        await eventually(lambda: one.looks > before)
        assert [row.conversation_id for row in one.rows] == [call]
        await asyncio.sleep(0.25)
        assert one.looks == before + 1


@pytest.mark.parametrize("status", [None, 429])
async def test_a_watcher_does_not_let_the_list_be_read_for_every_callback(
    status: int | None, box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear: list[Callable[[Sequence[str]], None]] = []

    class Reader:
        def subscribe(self, tell: Callable[[Sequence[str]], None]) -> Callable[[], None]:
            hear.append(tell)
            return lambda: None

    monkeypatch.setattr(watch, "reader_of_this_loop", Reader)
    monkeypatch.setattr(watch, "prepare", lambda: None)
    watcher = ConversationEventTrigger(poll_interval=LONG)
    task: asyncio.Task[Any] = asyncio.create_task(anext(aiter(watcher.run())))  # type: ignore[arg-type]
    await eventually(lambda: hear and box.count("list") >= 2)
    await asyncio.sleep(0.2)
    before = box.count("list")
    if status is not None:
        box.trouble(route="list", status=status, retry_after=3600)
    for _ in range(20):
        hear[0](["c-of-another-account"])
        await asyncio.sleep(0.05)
    assert box.count("list") == before + 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
