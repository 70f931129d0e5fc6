"""The crawl against a real list: nothing is missed, whatever the list does, and little is read when little is new."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tavus.api.async_client import AsyncTavusClient
from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.collect.crawl import Crawl, Crawled
from airflow_provider_tavus.collect.entry import Entry
from airflow_provider_tavus.collect.index import Index
from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.collect.page import Page, look_at_page, page_of
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

NOW = 1_800_000_000.0
LONG_AGO = NOW - 30 * 86_400
HOUR = 3600.0


class Archive:
    """A box with a list, and crawls through it."""

    def __init__(self, box: TavusBox, client: AsyncTavusClient) -> None:
        self.box = box
        self._client = client
        self.index = Index(Shard(), now=NOW)

    def add(self, count: int, *, newest: float = NOW - 10 * HOUR, script: Script | None = None) -> list[str]:
        return [self.box.add(script or Script.finished(), created_at=newest - number * 60.0) for number in range(count)]

    def know(self, ids: Iterable[str], **changes: object) -> None:
        """Let the ledger say that these were collected."""
        entry = {"state": "collected", "at": NOW, "updated_at": NOW, "partition": "2027-01-01"} | changes
        self.index = Index(Shard(), now=NOW)
        self.index.know(Entry(conversation_id=each, **entry) for each in ids)  # type: ignore[arg-type]

    def crawl(self) -> Crawl:
        async def read(page: int) -> Page:
            return await self._client.send(look_at_page(page, limit=100))

        return Crawl(read, self.index, started_at=self.box.clock.now())

    async def sweep(self) -> Crawled:
        return await self.crawl().sweep()

    async def latest(self, order: str = "newest_first", *, created_before: float = NOW - HOUR) -> Crawled | None:
        return await self.crawl().latest(order, created_before=created_before)  # type: ignore[arg-type]

    def due(self) -> set[str]:
        return {each.conversation_id for each in self.index.take_due(100_000)}


@asynccontextmanager
async def archive(seed: int = 0) -> AsyncIterator[Archive]:
    async with TavusBox(clock=ManualClock(NOW), seed=seed) as box:
        settings = ClientSettings(api_key=box.api_key, base_url=box.base_url)
        async with AsyncTavusClient(settings) as client:
            yield Archive(box, client)


async def test_a_list_of_one_page_takes_one_request() -> None:
    async with archive() as tavus:
        ids = tavus.add(30)

        crawled = await tavus.sweep()

        assert tavus.due() == set(ids)
        assert crawled == Crawled(full=True, complete=True, order="unknown", readings=1, pages=1, total_count=30), (
            "thirty rows are too few to learn an order from"
        )


@pytest.mark.parametrize(("count", "readings", "pages"), [(99, 1, 1), (100, 1, 2), (101, 2, 4), (300, 2, 7)])
async def test_a_total_count_that_full_pages_come_up_to_takes_one_request_more(
    count: int, readings: int, pages: int
) -> None:
    async with archive() as tavus:
        ids = tavus.add(count)

        crawled = await tavus.sweep()

        assert (crawled.complete, crawled.readings, crawled.pages) == (True, readings, pages)
        tavus.know(ids)
        for created_before in (NOW - HOUR, LONG_AGO):
            latest = await tavus.latest(created_before=created_before)
            assert latest is not None
            assert latest.pages <= math.ceil(count / 100), "between sweeps it takes none"


@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize(
    "total_count",
    [lambda rows, _: rows, lambda _, total: min(total, 150), lambda _, total: min(total, 200), lambda *_: 0],
    ids=["of the page", "capped", "capped at full pages", "always 0"],
)
async def test_nothing_is_missed_where_total_count_says_too_little(
    order: str, total_count: Callable[[int, int | None], int]
) -> None:
    async with archive() as tavus:
        ids = tavus.add(350)
        tavus.box.trouble("list_order", order=order)

        async def read(number: int) -> Page:
            page = await tavus._client.send(look_at_page(number, limit=100))
            return replace(page, total_count=total_count(page.row_count, page.total_count))

        crawled = await Crawl(read, tavus.index, started_at=NOW).sweep()

        assert (crawled.complete, crawled.readings, crawled.pages) == (True, 2, 10)
        assert tavus.due() == set(ids)
        assert crawled.order == ("newest_first" if order == "newest" else "unknown"), (
            "where the newest are, if they come last, nothing tells"
        )


async def test_what_is_new_is_read_to_its_end_where_total_count_tells_of_the_page() -> None:
    async with archive() as tavus:
        tavus.know(tavus.add(200))
        new = tavus.add(250, newest=NOW - 2 * HOUR)

        async def read(number: int) -> Page:
            page = await tavus._client.send(look_at_page(number, limit=100))
            return replace(page, total_count=page.row_count)

        crawled = await Crawl(read, tavus.index, started_at=NOW).latest("newest_first", created_before=NOW - HOUR)

        assert crawled is not None
        assert tavus.due() == set(new)


async def test_a_total_count_that_says_far_too_much_costs_a_few_pages_and_is_not_believed() -> None:
    async with archive() as tavus:
        ids = tavus.add(250)

        async def read(number: int) -> Page:
            return replace(await tavus._client.send(look_at_page(number, limit=100)), total_count=50_000)

        crawled = await Crawl(read, tavus.index, started_at=NOW).sweep()

        assert not crawled.complete
        assert tavus.due() == set(ids)
        assert crawled.pages <= 6 * (3 + 8)


@pytest.mark.parametrize("last_page", [1, 3])
@pytest.mark.parametrize("told", [True, False])
async def test_a_list_that_shows_the_same_page_again_beyond_its_end_is_read_no_further(
    last_page: int, told: bool
) -> None:
    async def read(number: int) -> Page:
        first = 100 * (min(number, last_page) - 1)
        rows = [{"conversation_id": f"c{first + each}", "status": "ended"} for each in range(100)]
        return page_of({"data": rows, "total_count": 100} if told else {"data": rows})

    index = Index(Shard(), now=NOW)
    crawled = await Crawl(read, index, started_at=NOW).sweep()

    assert (crawled.complete, crawled.readings, crawled.pages) == (True, 2, 2 * (last_page + 1))
    assert len(index.take_due(1000)) == 100 * last_page


async def test_a_conversation_that_a_page_shows_twice_counts_as_often_as_total_count_counts_it() -> None:
    async def read(_: int) -> Page:
        row = {"conversation_id": "c1", "status": "ended"}
        return page_of({"data": [row, row, {"conversation_id": "c2", "status": "ended"}], "total_count": 3})

    index = Index(Shard(), now=NOW)
    crawled = await Crawl(read, index, started_at=NOW).sweep()

    assert (crawled.complete, crawled.readings, crawled.pages) == (True, 1, 1)
    assert {each.conversation_id for each in index.take_due(9)} == {"c1", "c2"}


async def test_an_empty_list_is_complete() -> None:
    async with archive() as tavus:
        crawled = await tavus.sweep()
        assert (crawled.complete, crawled.pages) == (True, 1)


@pytest.mark.parametrize("order", ["newest", "oldest", "random", "shuffled"])
@pytest.mark.parametrize("cap", [None, 10])
async def test_nothing_is_missed_in_any_order_and_under_any_cap(order: str, cap: int | None) -> None:
    async with archive() as tavus:
        ids = tavus.add(95)
        going_on = tavus.add(12, script=Script.active())
        tavus.box.trouble("list_order", order=order)
        if cap:
            tavus.box.trouble("list_cap", limit=cap)

        crawled = await tavus.sweep()

        assert crawled.complete
        assert tavus.due() == set(ids)
        assert tavus.index.seen_in_any() == len(ids + going_on)


@pytest.mark.parametrize(("order", "learned"), [("newest", "newest_first"), ("oldest", "oldest_first")])
async def test_the_order_is_learned_and_two_readings_are_enough(order: str, learned: str) -> None:
    async with archive() as tavus:
        tavus.add(250)
        tavus.box.trouble("list_order", order=order)

        crawled = await tavus.sweep()

        assert (crawled.order, crawled.readings, crawled.pages) == (learned, 2, 6)


@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize("seed", range(4))
async def test_what_was_there_all_the_time_is_found_while_others_come_end_and_vanish(order: str, seed: int) -> None:
    async with archive(seed=seed) as tavus:
        ids = set(tavus.add(140))
        tavus.box.trouble("list_order", order=order)
        tavus.box.trouble("list_cap", limit=9)
        tavus.box.trouble("list_churn", come=1, finish=1, vanish=1, times=40)
        tavus.box.each_request_takes(1.0, route="list")

        crawled = await tavus.sweep()

        still_there = {each for each in ids if each in tavus.box.world}
        assert crawled.complete
        assert still_there <= tavus.due()


async def test_a_row_that_a_deletion_pulls_onto_a_page_already_read_is_found() -> None:
    async with archive() as tavus:
        ids = tavus.add(150)
        requests = 0

        async def read(page: int) -> Page:
            nonlocal requests
            requests += 1
            answer = await tavus._client.send(look_at_page(page, limit=50))
            if requests == 1:
                # In the place of the deleted one comes a new one, so that the list is as long as before.
                tavus.box.remove(ids[0])
                tavus.box.add(Script.finished(), created_at=LONG_AGO)
            return answer

        crawled = await Crawl(read, tavus.index, started_at=NOW).sweep()

        assert crawled.complete
        assert set(ids[1:]) <= tavus.due()


async def test_rows_without_times_are_read_as_well_but_teach_no_order() -> None:
    async with archive() as tavus:
        ids = tavus.add(120, script=Script.finished(list_times=False))

        crawled = await tavus.sweep()

        assert (crawled.complete, crawled.order) == (True, "unknown")
        assert tavus.due() == set(ids)


async def test_a_row_that_names_no_conversation_is_counted_and_costs_no_other() -> None:
    pages = [
        {"data": [{"conversation_id": "c1", "status": "ended"}, {"status": "ended"}], "total_count": 4},
        {"data": [{"conversation_id": "c2", "status": "ended"}, 7], "total_count": 4},
    ]

    async def read(page: int) -> Page:
        return page_of(pages[page - 1] if page <= 2 else {"data": [], "total_count": 4})

    index = Index(Shard(), now=NOW)
    crawled = await Crawl(read, index, started_at=NOW).sweep()

    assert (crawled.complete, crawled.readings) == (True, 2)
    assert {each.conversation_id for each in index.take_due(9)} == {"c1", "c2"}


async def test_a_list_that_never_gets_as_long_as_it_says_is_given_up_and_called_incomplete() -> None:
    async def read(page: int) -> Page:
        rows = [{"conversation_id": "c1", "status": "ended"}] if page == 1 else []
        return page_of({"data": rows, "total_count": 3})

    index = Index(Shard(), now=NOW)
    crawled = await Crawl(read, index, started_at=NOW).sweep()

    assert not crawled.complete
    assert [each.conversation_id for each in index.take_due(9)] == ["c1"]


@pytest.mark.parametrize("heeds_pages", [True, False])
async def test_a_list_without_total_count_ends_with_an_empty_page_or_the_same_one_again(heeds_pages: bool) -> None:
    async def read(page: int) -> Page:
        rows = [{"conversation_id": f"c{page if heeds_pages else 1}", "status": "ended"}] if page <= 3 else []
        return page_of({"data": rows})

    index = Index(Shard(), now=NOW)
    crawled = await Crawl(read, index, started_at=NOW).sweep()

    assert crawled.complete
    assert len(index.take_due(9)) == (3 if heeds_pages else 1)


class TestBetweenSweeps:
    @pytest.mark.parametrize("order", ["newest", "oldest"])
    async def test_nothing_new_takes_a_page_or_two(self, order: str) -> None:
        async with archive() as tavus:
            tavus.know(tavus.add(500))
            tavus.box.trouble("list_order", order=order)

            crawled = await tavus.latest(f"{order}_first")

            assert crawled is not None
            assert (crawled.full, crawled.complete) == (False, True)
            assert crawled.pages == (1 if order == "newest" else 2)
            assert not tavus.due()

    @pytest.mark.parametrize("order", ["newest", "oldest"])
    async def test_what_is_new_is_read_to_its_end(self, order: str) -> None:
        async with archive() as tavus:
            tavus.know(tavus.add(500))
            new = tavus.add(150, newest=NOW - 2 * HOUR)
            tavus.box.trouble("list_order", order=order)

            crawled = await tavus.latest(f"{order}_first")

            assert crawled is not None
            assert tavus.due() == set(new)
            assert crawled.pages <= 4

    async def test_whatever_was_created_lately_is_gone_through(self) -> None:
        async with archive() as tavus:
            tavus.know(tavus.add(500))
            crawled = await tavus.latest(created_before=NOW - 10 * HOUR - 299 * 60.0)
            assert crawled is not None
            assert crawled.pages == 4

    async def test_an_order_that_does_not_hold_calls_for_a_sweep(self) -> None:
        async with archive() as tavus:
            tavus.know(tavus.add(300))
            tavus.box.trouble("list_order", order="random")
            assert await tavus.latest() is None

    async def test_a_list_longer_than_can_be_explained_calls_for_a_sweep(self) -> None:
        async with archive() as tavus:
            tavus.know(tavus.add(300))
            tavus.box.add(Script.finished(), created_at=LONG_AGO)
            assert await tavus.latest() is None

    async def test_a_list_that_got_shorter_does_not(self) -> None:
        async with archive() as tavus:
            ids = tavus.add(300)
            tavus.know(ids)
            tavus.box.remove(ids[-1])
            crawled = await tavus.latest()
            assert crawled is not None
            assert crawled.pages == 1

    async def test_a_collected_row_that_changed_is_due_again(self) -> None:
        async with archive() as tavus:
            ids = tavus.add(5)
            tavus.know(ids, updated_at=NOW - 20 * HOUR)
            await tavus.latest()
            assert tavus.due() == set(ids)
