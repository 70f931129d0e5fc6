"""
Which conversations of an account there are, for all who watch it: who goes on, and who was created lately.

The list's order is undocumented and its pages shift while they are read. So a look reads from the newest rows on, to
where nothing is new, if the list shows an order at all; and now and then a sweep reads as far back as any watcher
needs, with all that go on, and finds whatever a look has missed.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.conversations.events import has_ended
from airflow_provider_tavus.conversations.labels import Labels
from airflow_provider_tavus.hooks.tavus import TavusHook, make_async_client
from airflow_provider_tavus.triggers import metrics
from airflow_provider_tavus.triggers.clock import WallClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence

    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.models import Conversation, ConversationPage
    from airflow_provider_tavus.api.settings import ClientSettings
    from airflow_provider_tavus.triggers.clock import Clock

    Order = Literal["newest_first", "oldest_first", "unknown"]

ROWS_ASKED_FOR = 100
"""What the vendor's own client asks for; Tavus may send fewer."""
SWEEP_INTERVAL = 600.0
"""Seconds between two sweeps, at least; also those after which the connection is read again."""
SHORTEST_PAUSE = 1.0
"""Seconds between two looks, at least, however many callbacks come."""
REMEMBERED = 10_000
"""Of how many conversations it is remembered that they had a callback and were not listed, the last ones."""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    A conversation as the list showed it when it was first seen.

    :param created_at: epoch seconds; None if the list does not tell.
    :param was_active: whether it went on then.
    :param callback_url: where its callbacks go; a secret.
    """

    conversation_id: str
    created_at: float | None
    was_active: bool
    labels: Labels
    callback_url: str | None

    def __repr__(self) -> str:
        """Show which one it is, and no secret."""
        return f"Listed({self.conversation_id!r})"


class Discovery:
    """
    The conversations of one account, read for all watchers of a connection in one event loop.

    :param tavus_conn_id: the Airflow connection to use.
    :param interval: seconds between two looks.
    :param tell: called with a sentence when the account cannot be read, and when it can be again.
    """

    def __init__(
        self, tavus_conn_id: str, interval: float, tell: Callable[[str], object], clock: Clock | None = None
    ) -> None:
        self._tavus_conn_id = tavus_conn_id
        self._interval = interval
        self._tell = tell
        self._clock = clock or WallClock()
        self._settings: ClientSettings | None = None
        self._client: AsyncTavusClient | None = None
        self._rows: dict[str, Listed] = {}
        self._needs: dict[object, float] = {}
        self._swept_at, self._swept_back_to = -math.inf, math.inf
        self._looked_for: dict[str, None] = {}
        """Who had a callback, and has not been seen: a look that begins later is still to come, or to succeed."""
        self._not_listed: dict[str, None] = {}
        """Who had a callback, and was not listed at a look that began later."""
        self._hurry = asyncio.Event()
        self._trouble: str | None = None
        self.looks = 0
        """How many looks have succeeded."""
        self.looked_at = -math.inf
        """When, in epoch seconds, the last of them began: who was created later may not have been seen."""

    @property
    def rows(self) -> Sequence[Listed]:
        """The conversations that go on or were created since the earliest moment that a watcher needs."""
        return list(self._rows.values())

    @property
    def settings(self) -> ClientSettings:
        """What the connection led to when it was last read."""
        assert self._settings is not None, "nobody asks before the first look"
        return self._settings

    def lists(self, conversation_id: str) -> bool:
        """Say whether a conversation is among the rows."""
        return conversation_id in self._rows

    def covers(self, moment: float) -> bool:
        """Say whether the rows have everything that was created since then (epoch seconds), up to the last look."""
        return self._swept_back_to <= moment

    def has_swept_since(self, moment: float) -> bool:
        """Say whether the rows are those of a sweep that began later than this (epoch seconds)."""
        return self._swept_at > moment

    def is_needed_back_to(self, moment: float, watcher: object) -> None:
        """Let a watcher say since when (epoch seconds) it needs to know what was created."""
        self._needs[watcher] = moment

    def is_not_needed_by(self, watcher: object) -> None:
        """Let a watcher go."""
        self._needs.pop(watcher, None)

    def sweep_soon(self) -> None:
        """Let the next look be a sweep: what was seen may have changed."""
        self._swept_at = -math.inf

    def look_soon_for(self, conversation_ids: Iterable[str]) -> None:
        """
        Look as soon as may be if there are conversations among these that nobody has seen.

        Once for each: whom a look did not find, such as one of another account, further looks need not find either.
        """
        self._looked_for |= {
            one: None for one in conversation_ids if not (one in self._rows or one in self._not_listed)
        }
        _keep_the_last(self._looked_for)
        if self._looked_for:
            self._hurry.set()

    async def run(self) -> AsyncIterator[Discovery]:
        """Look for ever, and yield itself after each look, and once before: watchers then say what they need."""
        yield self
        try:
            while True:
                looked_at = self._clock.now()
                pause = await self._look_or_say_why_not()
                yield self
                await self._wait(looked_at, pause)
        finally:
            await self._close()

    async def refresh(self) -> bool:
        """Read the connection again, and say whether it leads elsewhere now, such as with another key."""
        before = self._settings
        self._settings = await TavusHook(self._tavus_conn_id).resolve_settings()
        return self._settings != before

    # -- looking -------------------------------------------------------------------------------------------------

    async def _look_or_say_why_not(self) -> float:
        """Look once, and return the seconds until the next look."""
        looked_for, began = set(self._looked_for), self._clock.now()
        try:
            await self._connect()
            await self._look()
        except TavusError as error:
            if self._trouble != type(error).__name__:
                self._tell(f"The list of conversations could not be had, the watch goes on: {error}")
            self._trouble = type(error).__name__
            # Perhaps the key was rotated.
            await self._close()
            return max(self._interval, error.retry_after or 0.0)
        if self._trouble:
            self._tell("The list of conversations can be had again.")
        self._trouble = None
        self.looks += 1
        self.looked_at = began
        self._has_looked_for(looked_for)
        return self._interval

    def _has_looked_for(self, conversation_ids: Collection[str]) -> None:
        self._not_listed |= {one: None for one in conversation_ids if one not in self._rows}
        _keep_the_last(self._not_listed)
        # Whose callback came only while the look went on may have been listed too late for it.
        self._looked_for = {one: None for one in self._looked_for if not (one in conversation_ids or one in self._rows)}
        if not self._looked_for:
            self._hurry.clear()

    async def _look(self) -> None:
        now = self._clock.now()
        back_to = min(self._needs.values(), default=now)
        if self._swept_at <= now < self._swept_at + SWEEP_INTERVAL and back_to >= self._swept_back_to:
            await self._read_newest(self._rows, back_to, lambda row: row.conversation_id in self._rows)
            return
        found: dict[str, Listed] = {}
        try:
            await self._read_newest(found, back_to, lambda _: False)
            await self._read_active(found, back_to)
        except TavusError:
            self._rows = found | self._rows
            raise
        # Not before: a watcher may take in the last look while this one goes on, and would move on past the others.
        # Of a conversation that was known, what it was when it was first seen counts.
        self._rows = {one: self._rows.get(one, row) for one, row in found.items()}
        self._swept_at, self._swept_back_to = now, back_to
        await self.refresh()

    async def _read_newest(
        self, rows: dict[str, Listed], back_to: float, is_known: Callable[[Conversation], bool]
    ) -> None:
        """Read from the newest row on to where all are known or of no interest; the whole list if it has no order."""
        first = await self._read(1)
        order = _order(first)
        async for page in self._pages(first, order):
            oldest = page.rows[0] if order == "oldest_first" else page.rows[-1]
            reached_its_end = is_known(oldest) or _created_before(oldest, back_to)
            _take_in(page, rows, back_to)
            if reached_its_end and order != "unknown":
                return

    async def _read_active(self, rows: dict[str, Listed], back_to: float) -> None:
        first = await self._read(1, status="active")
        async for page in self._pages(first, "unknown", status="active"):
            _take_in(page, rows, back_to)

    async def _pages(
        self, first: ConversationPage, order: Order, status: str | None = None
    ) -> AsyncGenerator[ConversationPage]:
        """Read the pages that have rows, the newest first if there is an order."""
        last = _page_count(first)
        if order == "oldest_first" and last is not None:
            for number in range(last, 1, -1):
                if (page := await self._read(number, status)).rows:
                    yield page
            yield first
            return
        number, page, before = 1, first, None
        # An empty page is the end, and so is one that comes again.
        while page.rows and page != before:
            yield page
            # A full page may be the last one, or all that a total_count knows of that tells of a page.
            full = ROWS_ASKED_FOR if number == 1 else first.row_count
            if last is not None and number >= last and page.row_count < full:
                return
            before, number = page, number + 1
            page = await self._read(number, status)
            if page == first:
                return

    async def _read(self, number: int, status: str | None = None) -> ConversationPage:
        from airflow_provider_tavus.api import calls

        assert self._client is not None, "it is connected before anything is read"
        metrics.the_list_was_asked()
        return await self._client.send(calls.list_conversations(limit=ROWS_ASKED_FOR, page=number, status=status))

    # -- between looks -------------------------------------------------------------------------------------------

    async def _wait(self, looked_at: float, pause: float) -> None:
        """Wait until the next look is due, or there is a reason to hurry; but never less than the shortest pause."""
        if self._trouble:
            # Callbacks come from anywhere: they are not to cut short above all a pause that Tavus asked for.
            await self._clock.wait_until(looked_at + pause)
            return
        due = asyncio.ensure_future(self._clock.wait_until(looked_at + pause))
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait({due, hurry}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            due.cancel()
            hurry.cancel()
        await self._clock.wait_until(looked_at + min(SHORTEST_PAUSE, self._interval))

    # -- the connection ------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._client is None:
            await self.refresh()
            client = await asyncio.to_thread(make_async_client, self.settings)
            self._client = await client.__aenter__()
            self._connected_with = self._settings
        elif self._connected_with != self._settings:
            await self._close()
            await self._connect()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)


def as_listed(row: Conversation) -> Listed:
    """Return of a conversation what a watcher needs to know."""
    return Listed(
        conversation_id=row.conversation_id,
        created_at=row.created_at.timestamp() if row.created_at else None,
        was_active=not has_ended(row),
        labels=Labels(row.conversation_name, row.pal_id, row.face_id),
        callback_url=row.callback_url,
    )


def _keep_the_last(ids: dict[str, None]) -> None:
    for oldest in list(ids)[:-REMEMBERED]:
        del ids[oldest]


def _take_in(page: ConversationPage, rows: dict[str, Listed], back_to: float) -> None:
    for row in page.rows:
        if not (has_ended(row) and _created_before(row, back_to)):
            rows.setdefault(row.conversation_id, as_listed(row))


def _created_before(row: Conversation, moment: float) -> bool:
    return row.created_at is not None and row.created_at.timestamp() < moment


def _order(first: ConversationPage) -> Order:
    times = [row.created_at.timestamp() for row in first.rows if row.created_at]
    if len(times) < len(first.rows):
        return "unknown"
    steps = list(pairwise(times))
    descends, ascends = all(a >= b for a, b in steps), all(a <= b for a, b in steps)
    # Where nobody tells that there are pages after it, the newest rows are found on the way to the last one alone.
    if descends == ascends or (ascends and (_page_count(first) or 1) == 1):
        return "unknown"
    return "newest_first" if descends else "oldest_first"


def _page_count(page: ConversationPage) -> int | None:
    if page.total_count is None or not page.row_count:
        return None
    return max(1, math.ceil(page.total_count / page.row_count))
