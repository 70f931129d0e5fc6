"""
Reads the list to its end, although its order is undocumented, its pages are capped, and rows come and go meanwhile.

A page is cut out of a list that moves: what was deleted in front of it pulls an unread row onto a page that was
read already. So a list of several pages is read until a second reading shows all that the one before it did, nothing
new, and as many conversations as ``total_count`` says. That is a sweep. Where ``total_count`` may tell of less than
there is, it goes on to an empty page. Between sweeps, and only where a sweep has seen rows in the order of their
creation, a run reads from the newest row on and stops where nothing is new.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from airflow_provider_tavus.collect.index import Index, Row
    from airflow_provider_tavus.collect.page import Page

    ReadPage = Callable[[int], Awaitable[Page]]

Order = Literal["newest_first", "oldest_first", "unknown"]

ROWS_ASKED_FOR = 100
"""On a page: what the vendor's own client asks for; Tavus may send fewer."""
PAGES_IN_FLIGHT = 8
ROWS_THAT_SHOW_AN_ORDER = 50
"""Fewer than these can look sorted by chance."""
FRUITLESS_READINGS = 5
"""After so many readings in a row that showed nothing new, a list that is shorter than it says is given up."""
MOST_READINGS = 50
READINGS_OF_A_RESTLESS_LIST = 3


@dataclass(frozen=True, slots=True)
class Crawled:
    """
    What reading the list came to.

    :param full: whether it was read to its end, rather than to where nothing was new.
    :param complete: whether nothing can have been missed.
    :param order: the order in which it showed its rows.
    :param readings: how often it was read.
    :param pages: how many pages that took in all.
    :param total_count: how long the list last said it was.
    """

    full: bool
    complete: bool
    order: Order
    readings: int
    pages: int
    total_count: int | None


class Crawl:
    """
    One run's way through the list.

    :param read_page: reads a page, the first of which is 1.
    :param index: takes in the rows.
    :param started_at: epoch seconds; what was created since then is no sign that something was missed.
    """

    def __init__(self, read_page: ReadPage, index: Index, *, started_at: float) -> None:
        self._ask = read_page
        self._index = index
        self._started_at = started_at
        self._readings = 0
        self._pages = 0
        self._total_count: int | None = None
        self._rows_before_an_empty_page: int | None = None
        self.read_once = asyncio.Event()
        """Set when the list was gone through once; what shows later is little."""

    async def sweep(self) -> Crawled:
        """Read the list until it is certain that nothing was missed, or that this cannot be had."""
        complete, fruitless = False, 0
        order: Order = "unknown"
        while not complete and fruitless < FRUITLESS_READINGS and self._readings < MOST_READINGS:
            reading = self._begin()
            async for page in self._pages_in_order():
                reading.order.show(self._take_in(page, reading))
            self.read_once.set()
            order = self._order_to_rely_on(reading)
            fruitless = 0 if reading.fresh else fruitless + 1
            complete = self._is_complete(reading, fruitless)
        return self._crawled(full=True, complete=complete, order=order)

    async def latest(self, order: Order, *, created_before: float) -> Crawled | None:
        """
        Read from the newest row on, and stop where nothing is new.

        :param order: the order that the last sweep saw.
        :param created_before: epoch seconds; whatever was created since is gone through in any case.
        :return: None if the list is not as expected, so that only a sweep will do.
        """
        reading = self._begin()
        async for page in self._pages_from_the_newest(order):
            rows = self._take_in(page, reading)
            reading.order.show(reversed(rows) if order == "oldest_first" else rows)
            if not reading.order.descends:
                return None
            is_old = all((row.created_at or 0.0) < created_before for row in rows)
            if not reading.news_on_last_page and (is_old or self._shows_all_that_is_known(reading)):
                break
        if self._total_count is None or self._index.should_be_listed() < self._total_count:
            # The list holds something that was never seen.
            return None
        return self._crawled(full=False, complete=True, order=order)

    def _shows_all_that_is_known(self, reading: _Reading) -> bool:
        return self._total_count is not None and reading.rows >= self._total_count >= self._index.should_be_listed()

    def _begin(self) -> _Reading:
        self._readings += 1
        return _Reading(self._readings)

    def _crawled(self, *, full: bool, complete: bool, order: Order) -> Crawled:
        return Crawled(full, complete, order, self._readings, self._pages, self._total_count)

    def _take_in(self, page: Page, reading: _Reading) -> list[Row]:
        rows = page.rows
        noted = self._index.note(rows, reading.number)
        reading.rows += page.row_count
        reading.surplus += page.row_count - len(_ids(page))
        reading.news_on_last_page = noted.news > 0
        reading.fresh |= any((row.created_at or 0.0) < self._started_at for row in noted.fresh)
        # An empty page after all that total_count has told of is no part of the list.
        if page.row_count or page.total_count is None or not reading.pages:
            reading.pages += 1
            if page.total_count is not None:
                reading.totals.append(page.total_count)
        return rows

    def _order_to_rely_on(self, reading: _Reading) -> Order:
        learned = reading.order.learned
        # Where the newest come last, total_count has to tell where they are.
        if learned == "oldest_first" and self._index.seen_in(reading.number) > max(reading.totals, default=0):
            return "unknown"
        return learned

    def _is_complete(self, reading: _Reading, fruitless: int) -> bool:
        # One page is cut at one moment: nothing can shift.
        if reading.pages > 1 and not self._agrees_with_the_last(reading, fruitless):
            return False
        if self._index.seen_in(reading.number) + reading.surplus >= min(reading.totals, default=0):
            return True
        # An order that changes with every page hides other rows from each reading; all of them together count.
        return reading.number > 1 and self._index.seen_in_any() + reading.surplus >= max(reading.totals)

    def _agrees_with_the_last(self, reading: _Reading, fruitless: int) -> bool:
        """
        Tell whether the reading before this one can have missed nothing.

        It misses a row only if one that it had shown was deleted meanwhile; that one is then missing here. A list
        from which something is deleted all the time is believed when several readings showed nothing new.
        """
        if reading.number == 1 or reading.fresh:
            return False
        return self._index.seen_in(reading.number - 1) == 0 or fruitless >= READINGS_OF_A_RESTLESS_LIST

    async def _read(self, number: int) -> Page:
        self._pages += 1
        page = await self._ask(number)
        if page.total_count is not None and (page.row_count or number == 1):
            self._total_count = page.total_count
        return page

    async def _pages_in_order(self) -> AsyncGenerator[Page]:
        first = before = page = await self._read(1)
        yield first
        rows, number = first.row_count, _last_page(first)
        async for following in self._several(range(2, number + 1)):
            before, page = page, following
            rows += page.row_count
            yield page
        async for following in self._pages_after(page, before, first, number=number, rows=rows):
            yield following

    async def _pages_from_the_newest(self, order: Order) -> AsyncGenerator[Page]:
        first = await self._read(1)
        if order == "oldest_first":
            for number in range(_last_page(first), 1, -1):
                yield await self._read(number)
        yield first
        if order == "newest_first":
            async for page in self._pages_after(first, first, first, number=1, rows=first.row_count):
                yield page

    async def _pages_after(
        self, page: Page, before: Page, first: Page, *, number: int, rows: int
    ) -> AsyncGenerator[Page]:
        """
        Read on to the list's end: what was added meanwhile, and what ``total_count`` does not tell of.

        :param page: the last one that was read; the one before it may be itself, as the first may.
        :param number: its number.
        :param rows: how many rows there were up to its end.
        """
        while not self._is_last(page, before, first, rows):
            number += 1
            before, page = page, await self._read(number)
            rows += page.row_count
            yield page
        if not page.row_count:
            self._rows_before_an_empty_page = rows

    def _is_last(self, page: Page, before: Page, first: Page, rows: int) -> bool:
        if not page.row_count:
            return True
        if self._total_count is not None and rows < self._total_count:
            return False
        if rows == self._total_count:
            # A full page may be the last one, or all that a total_count knows of that tells of a page or is capped.
            full = ROWS_ASKED_FOR if page is first else first.row_count
            if page.row_count < full or rows == self._rows_before_an_empty_page:
                return True
        # Where page numbers are not heeded, or not beyond the end, the same comes again.
        return page is not first and _ids(page) <= _ids(first) | _ids(before)

    async def _several(self, numbers: Iterable[int]) -> AsyncGenerator[Page]:
        """Read pages, some at a time, and return them in their order, up to one that is empty."""
        waiting, under_way = iter(numbers), deque[asyncio.Task["Page"]]()
        try:
            while True:
                while len(under_way) < PAGES_IN_FLIGHT and (number := next(waiting, None)) is not None:
                    under_way.append(asyncio.create_task(self._read(number)))
                if not under_way:
                    return
                page = await under_way[0]
                yield page
                if not page.row_count:
                    return
                under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


@dataclass(slots=True)
class _Reading:
    """One passage through the pages."""

    number: int
    pages: int = 0
    rows: int = 0
    surplus: int = 0
    """Rows that name no conversation, or one that another row of their page names as well."""
    fresh: bool = False
    news_on_last_page: bool = False
    totals: list[int] = field(default_factory=list)
    order: _OrderSeen = field(default_factory=lambda: _OrderSeen())


class _OrderSeen:
    """The order in which rows were shown, as far as their times of creation tell."""

    def __init__(self) -> None:
        self.descends = self.ascends = True
        self._rows = 0
        self._last: list[float] = []

    def show(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.created_at is None:
                self.descends = self.ascends = False
                return
            for earlier, later in pairwise([*self._last, row.created_at]):
                self.descends &= earlier >= later
                self.ascends &= earlier <= later
            self._last = [row.created_at]
            self._rows += 1

    @property
    def learned(self) -> Order:
        if self._rows < ROWS_THAT_SHOW_AN_ORDER or self.descends == self.ascends:
            return "unknown"
        return "newest_first" if self.descends else "oldest_first"


def _last_page(first: Page) -> int:
    if not first.row_count or first.total_count is None:
        return 1
    return max(1, math.ceil(first.total_count / first.row_count))


def _ids(page: Page) -> set[str]:
    return {row.conversation_id for row in page.rows}
