"""Reads the conversations that are due, many at a time, and says what is to become of each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airflow_provider_tavus.api.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    TavusError,
    UnknownConversationError,
)
from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.collect.layout import UNKNOWN_DATE, raw_object
from airflow_provider_tavus.collect.outcome import (
    DELETED,
    UNUSABLE_ID,
    entry_of,
    entry_of_what_is_gone,
    entry_of_what_stays,
    is_poorer,
    may_be_poorer,
)
from airflow_provider_tavus.collect.page import look_at_page
from airflow_provider_tavus.collect.writer import Collected
from airflow_provider_tavus.conversations.privacy import RedactionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.collect.entry import Entry
    from airflow_provider_tavus.collect.failures import Failures
    from airflow_provider_tavus.collect.index import Due, Index
    from airflow_provider_tavus.collect.plan import Plan

TAKEN_AT_A_TIME = 500
NOBODY_GETS_THROUGH = (AuthenticationError, ConfigurationError)
"""Errors that every other request would meet as well."""
FAULTS_IN_A_ROW = 64
"""After so many, a service may be down, and asking on would only be more load on it; or these alone are ill."""
FAULTS_UNTIL_FEWER_ARE_READ = 256
"""In a row: after each so many, half as many of those that follow are read, until one can be."""


@dataclass(frozen=True, slots=True)
class ToStore:
    """A conversation that is to be stored, and what the ledger is to say of it then, but for the new hash."""

    collected: Collected
    entry: Entry


@dataclass(frozen=True, slots=True)
class AllRead:
    """Nothing more of a partition is being read."""

    partition: str


class Reader:
    """
    Reads what is due.

    :param client: sends the requests.
    :param index: says what is due, and takes in what came of it.
    :param failures: takes in what could not be read.
    :param clock: tells epoch seconds.
    :param read_object: returns what an object of the destination holds.
    :param hand_over: takes what is to be stored; waits where storing cannot keep up.
    """

    def __init__(
        self,
        client: AsyncTavusClient,
        index: Index,
        plan: Plan,
        failures: Failures,
        *,
        clock: Callable[[], float],
        read_object: Callable[[str], bytes],
        hand_over: Callable[[ToStore | AllRead], Awaitable[None]],
    ) -> None:
        self._client = client
        self._index = index
        self._plan = plan
        self._failures = failures
        self._clock = clock
        self._read_object = read_object
        self._hand_over = hand_over
        self._taken: deque[Due] = deque()
        self._in_flight: Counter[str] = Counter()
        self._partition: str | None = None
        self._faults_in_a_row = self._faults_when_asked = 0
        self._asking = asyncio.Lock()
        self._redacting = asyncio.Lock()
        self._gives_up = False
        self.done = 0
        """How many were read."""

    @property
    def under_way(self) -> int:
        """How many were taken to be read, and are not read yet."""
        return len(self._taken) + self._in_flight.total()

    async def read_all(self, listing: asyncio.Future[None]) -> None:
        """
        Read everything that is due.

        :param listing: finished when no more can become due.
        """
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._plan.requests_in_flight):
                tasks.create_task(self._read_on(listing))

    async def _read_on(self, listing: asyncio.Future[None]) -> None:
        while (due := await self._next(listing)) is not None:
            to_store = await self._read(due)
            if to_store is not None:
                await self._hand_over(to_store)
            self.done += 1
            self._in_flight[due.partition] -= 1
            await self._perhaps_all_read(due.partition)

    async def _next(self, listing: asyncio.Future[None]) -> Due | None:
        while not self._gives_up:
            if not self._taken:
                self._taken.extend(self._index.take_due(TAKEN_AT_A_TIME))
            if self._taken:
                due = self._taken.popleft()
                if self._passes_over():
                    continue
                self._in_flight[due.partition] += 1
                before, self._partition = self._partition, due.partition
                if before is not None:
                    await self._perhaps_all_read(before)
                return due
            if listing.done():
                return None
            await asyncio.wait([listing])
        return None

    def _passes_over(self) -> bool:
        # Where the list can be read but no conversation, not each of very many is asked for. By chance, so that what
        # is new has its turn where all that is old is ill.
        one_in = 2 ** (self._faults_in_a_row // FAULTS_UNTIL_FEWER_ARE_READ)
        return random.randrange(one_in) > 0  # noqa: S311 - spreads load, guards nothing

    async def _perhaps_all_read(self, partition: str) -> None:
        # They come in the order of their partitions, so one that others follow is over.
        if partition != self._partition and not self._in_flight[partition]:
            await self._hand_over(AllRead(partition))

    async def _read(self, due: Due) -> ToStore | None:
        from airflow_provider_tavus.api.calls import look_at_conversation

        try:
            conversation, body = await self._client.send_and_keep(look_at_conversation(due.conversation_id))
        except InvalidArgumentError:
            self._settle(due, entry_of_what_is_gone(due, UNUSABLE_ID, now=self._clock()))
        except UnknownConversationError:
            self._settle(due, entry_of_what_is_gone(due, DELETED, now=self._clock()))
        except TavusError as error:
            self._failures.note_conversation(due.conversation_id, error)
            await self._perhaps_give_up(error)
        else:
            self._faults_in_a_row = self._faults_when_asked = 0
            try:
                return await self._make_of(conversation, due, body)
            except (ValueError, OverflowError) as fault:
                self._failures.note_unusable(due.conversation_id, type(fault).__name__)
        return None

    async def _perhaps_give_up(self, error: TavusError) -> None:
        self._faults_in_a_row += 1
        if isinstance(error, NOBODY_GETS_THROUGH):
            self._give_up(error)
        elif self._is_in_doubt():
            # Others that are in doubt, too, wait for the answer instead of asking on.
            async with self._asking:
                if self._is_in_doubt():
                    await self._give_up_if_nobody_gets_through()

    def _is_in_doubt(self) -> bool:
        return not self._gives_up and self._faults_in_a_row - self._faults_when_asked >= FAULTS_IN_A_ROW

    async def _give_up_if_nobody_gets_through(self) -> None:
        try:
            await self._client.send(look_at_page(1, limit=1))
        except TavusError as error:
            self._give_up(error)
        self._faults_when_asked = self._faults_in_a_row

    def _give_up(self, error: TavusError) -> None:
        self._gives_up = True
        self._failures.note_giving_up(error)

    async def _make_of(self, conversation: Conversation, due: Due, body: bytes) -> ToStore | None:
        wanted = self._plan.wanted
        entry = entry_of(conversation, due, wanted, now=self._clock())
        over = entry.state not in {"active", "pending"}
        known = due.entry if due.entry and due.entry.sha256 else None
        if (known or over) and may_be_poorer(entry, body, known):
            stored = await self._stored_if_richer(body, (known or entry).partition, due.conversation_id)
            if stored and known:
                self._settle(due, entry_of_what_stays(entry, known, wanted))
                return None
            if stored:
                return self._store_again(stored, due, entry)
        if over:
            return await self._to_store(due, entry, body)
        self._settle(due, entry)
        return None

    async def _stored_if_richer(self, body: bytes, partition: str | None, conversation_id: str) -> bytes | None:
        """Return what is stored if less than that was read: Tavus may have deleted the rest, or have a fault."""
        from airflow_provider_tavus.api.models import Conversation

        name = raw_object(partition or UNKNOWN_DATE, conversation_id)
        try:
            stored = await asyncio.to_thread(self._read_object, name)
            read, there = (Conversation.from_json(read_json(each)) for each in (body, stored))
        except (FileNotFoundError, ValueError):
            # Nothing can be lost by storing what was read.
            return None
        return stored if is_poorer(read, there, self._plan.wanted) else None

    def _store_again(self, stored: bytes, due: Due, entry: Entry) -> ToStore:
        """
        Let what is stored be stored once more, as the ledger does not know of it.

        A segment was lost, or the run that stored it has crashed, perhaps before its tables were made.
        """
        from airflow_provider_tavus.api.models import Conversation

        assert entry.partition is not None
        known = entry_of(Conversation.from_json(read_json(stored)), due, self._plan.wanted, now=entry.at)
        # Whoever stored it had seen that it was over.
        since = known.since if known.ended_at is None else known.ended_at
        known = replace(known, since=since, partition=entry.partition)
        stays = entry_of_what_stays(entry, known, self._plan.wanted)
        return ToStore(Collected(due.conversation_id, entry.partition, stored, None), stays)

    async def _to_store(self, due: Due, entry: Entry, body: bytes) -> ToStore | None:
        assert entry.partition is not None
        try:
            prepared = await self._prepared(body)
        except RedactionError as error:
            self._failures.note_conversation(due.conversation_id, error)
            return None
        stored_at = due.entry.partition if due.entry and due.entry.sha256 else None
        if stored_at == entry.partition and not due.doubted and entry.sha256 == sha256(prepared).hexdigest():
            self._settle(due, entry)
            return None
        moved_from = stored_at if stored_at != entry.partition else None
        return ToStore(Collected(due.conversation_id, entry.partition, prepared, moved_from), entry)

    async def _prepared(self, body: bytes) -> bytes:
        if self._plan.privacy.redact is None:
            return self._plan.privacy.prepare(body)
        # It may take its time: many in a row would let the requests that are under way time out.
        async with self._redacting:
            await asyncio.sleep(0)
            return self._plan.privacy.prepare(body)

    def _settle(self, due: Due, entry: Entry) -> None:
        known = due.entry
        had = known is not None and known.state == entry.state == "collected"
        outcome = "already_had" if had else entry.state
        if known is not None and known.as_json() == replace(entry, at=known.at).as_json():
            self._index.settle_unchanged(due.conversation_id, outcome, entry.reason)
        else:
            self._index.settle([(entry, outcome)])
