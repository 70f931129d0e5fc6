"""Stores what a run has read, and lets the ledger have it once the tables of its partition are written."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airflow_provider_tavus.collect.forms import names_of_forms
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.reader import AllRead, ToStore
from airflow_provider_tavus.collect.writer import NotStored, SpoiltObjectError, Writer
from airflow_provider_tavus.collect.writer_process import WriterProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_tavus.collect.copies import Copies
    from airflow_provider_tavus.collect.failures import Failures
    from airflow_provider_tavus.collect.index import Index
    from airflow_provider_tavus.collect.ledger import Ledger, Sweep
    from airflow_provider_tavus.collect.marks import Marks
    from airflow_provider_tavus.collect.plan import Plan
    from airflow_provider_tavus.collect.store import Store

ENTRIES_IN_A_SEGMENT = 2000
STORED_AT_A_TIME = 128
FEW_TO_STORE = 32
WAITS_FOR_MORE = 0.02
"""Seconds."""
MUCH_TO_STORE = 500
"""Conversations from which on it pays to start a process that stores them."""


class Storing:
    """
    What one run stores.

    :param store: the destination.
    :param copies: takes what is stored, too.
    :param failures: takes in what cannot be stored.
    :param on_arrival: called with each partition before something of it is written that others read, outside the event
        loop's thread.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        copies: Copies,
        *,
        index: Index,
        ledger: Ledger,
        marks: Marks,
        failures: Failures,
        on_arrival: Callable[[str], None],
    ) -> None:
        self._store = store
        self._plan = plan
        self._copies = copies
        self._index = index
        self._ledger = ledger
        self._marks = marks
        self._failures = failures
        self._on_arrival = on_arrival
        self._stored_as = names_of_forms(plan, copies)
        self._writer: asyncio.Task[Writer | WriterProcess] | None = None
        self._to_store: asyncio.Queue[ToStore | AllRead | None] = asyncio.Queue(maxsize=2 * STORED_AT_A_TIME)
        self._stored: list[tuple[ToStore, str]] = []
        """What was stored last and is not noted yet, with the hashes of its bytes."""
        self._unfinished: set[str] = set()
        self._moved_from: dict[str, set[str]] = defaultdict(set)
        """From which partitions conversations were taken for one that is not finished."""
        self.changed: set[str] = set()
        """The partitions of which something was written."""
        self.spoilt: set[str] = set()
        """Those of which no tables can be made."""
        self.stale: set[str] = set()
        """Those from which conversations were taken for a spoilt one: their rows may still be there."""

    async def hand_over(self, item: ToStore | AllRead | None) -> None:
        """Take what is to be stored, and None at the end; wait where storing cannot keep up."""
        await self._to_store.put(item)

    async def store_all(self) -> None:
        """Store what is handed over, partition by partition, until the end."""
        over = False
        while not over:
            items = [await self._to_store.get()]
            if isinstance(items[0], ToStore) and self._to_store.qsize() < FEW_TO_STORE:
                # Some more at once cost less than one by one.
                await asyncio.sleep(WAITS_FOR_MORE)
            while not self._to_store.empty() and len(items) < STORED_AT_A_TIME:
                items.append(self._to_store.get_nowait())
            await self._store_raw([item for item in items if isinstance(item, ToStore)])
            for item in items:
                if isinstance(item, AllRead):
                    await self._finish(item.partition)
            over = None in items
        for partition in sorted(self._unfinished):
            await self._finish(partition)
        await self.save()

    def remove(self, partition: str, conversation_ids: Sequence[str]) -> None:
        """Remove conversations from a partition before anything is stored."""
        writer = self._make_writer(much=False)
        try:
            for each in conversation_ids:
                try:
                    writer.remove(partition, each)
                except SpoiltObjectError as fault:
                    self.note_spoilt(partition, fault)
        finally:
            writer.close()

    def make_anew(self, partition: str) -> None:
        """Make the tables of a partition at the end, although nothing new may come to it."""
        self._unfinished.add(partition)

    def note_spoilt(self, partition: str, fault: SpoiltObjectError) -> None:
        """Fail at the end: no other date is to wait for this one."""
        self._failures.note(fault)
        self.spoilt.add(partition)

    async def tell_of_arrival(self, partition: str) -> None:
        """Tell that something of a partition is about to be written that others read."""
        await asyncio.to_thread(self._on_arrival, partition)

    async def save_if_much(self) -> None:
        """Write a segment of the ledger if there is enough for one."""
        if self._index.unsaved() >= ENTRIES_IN_A_SEGMENT:
            await self.save()

    async def save(self, *, sweep: Sweep | None = None) -> None:
        """Write what the ledger can have, and the sweep that it is to tell of."""
        while (entries := self._index.take_entries_to_save(ENTRIES_IN_A_SEGMENT)) or sweep:
            await asyncio.to_thread(self._ledger.write, entries, sweep=sweep)
            sweep = None

    def start_process_if_it_pays(self) -> None:
        """Start a process that stores where there is much to store: that takes a while, in which the list is read."""
        if self._writer is None and self._index.has_due(MUCH_TO_STORE):
            self._writer = asyncio.create_task(asyncio.to_thread(self._make_writer, much=True))

    async def writer(self) -> Writer | WriterProcess:
        """Return what writes to the destination."""
        if self._writer is None:
            self._writer = asyncio.create_task(asyncio.to_thread(self._make_writer, much=False))
        # Whoever waits for it may be cancelled; it is closed at the end all the same.
        return await asyncio.shield(self._writer)

    async def close(self) -> None:
        """Let go of what writes to the destination."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
            if not self._writer.exception():
                self._writer.result().close()

    def _make_writer(self, *, much: bool) -> Writer | WriterProcess:
        plan = self._plan
        settings: dict[str, Any] = {"shard": plan.shard, "formats": plan.formats, "renderings": plan.renderings}
        # Only a local folder takes objects faster than one interpreter makes them.
        if much and type(self._store) is LocalStore:
            with suppress(OSError):
                return WriterProcess(self._store, **settings)
        return Writer(self._store, **settings)

    async def _store_raw(self, batch: list[ToStore]) -> None:
        if batch:
            writer = await self.writer()
            places = ((each.collected.partition, each.collected.moved_from) for each in batch)
            await self._mark({each for some in places for each in some if each is not None})
            storing = asyncio.get_running_loop().run_in_executor(None, writer.take, [each.collected for each in batch])
            try:
                # The writer need not wait for that.
                self._settle_stored()
            finally:
                told = await storing
            for each, outcome in zip(batch, told, strict=True):
                self._note_later(each, outcome)

    async def _mark(self, partitions: set[str]) -> None:
        if not self._marks.covers(partitions):
            await asyncio.to_thread(self._marks.write, partitions)

    def _note_later(self, each: ToStore, outcome: str | NotStored) -> None:
        if isinstance(outcome, NotStored):
            self._failures.note_unusable(each.collected.conversation_id, outcome.fault)
        else:
            self._stored.append((each, outcome))
            self._unfinished.add(each.collected.partition)
            if each.collected.moved_from is not None:
                self._moved_from[each.collected.partition].add(each.collected.moved_from)

    def _settle_stored(self) -> None:
        """Note in the index what was stored last."""
        stored, self._stored = self._stored, []
        if stored:
            self._copies.store([each.collected.body for each, _ in stored])
            entries = [replace(each.entry, sha256=sha256, stored_as=self._stored_as) for each, sha256 in stored]
            self._index.settle(((entry, entry.state) for entry in entries), partition_unfinished=True)

    async def _finish(self, partition: str) -> None:
        if partition in self._unfinished:
            self._settle_stored()
            await self._mark({partition})
            writer = await self.writer()
            moved_from = self._moved_from.pop(partition, set())
            for each in sorted({partition, *moved_from}):
                await self.tell_of_arrival(each)
            try:
                self.changed |= await asyncio.to_thread(writer.finish, partition)
                self._index.partition_is_finished(partition)
            except SpoiltObjectError as fault:
                # The ledger has nothing of this date: the next run tries again.
                self.note_spoilt(partition, fault)
                self._index.partition_has_failed(partition, type(fault).__name__)
                self.stale |= moved_from
            self._unfinished.remove(partition)
        await self.save_if_much()
