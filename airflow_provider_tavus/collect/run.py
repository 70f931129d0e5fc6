"""One run of the collection: read the list, read what is due, store it, and write down what was done."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.collect.certificate import certify
from airflow_provider_tavus.collect.copies import NoCopies
from airflow_provider_tavus.collect.crawl import ROWS_ASKED_FOR, Crawl
from airflow_provider_tavus.collect.entry import as_time
from airflow_provider_tavus.collect.failures import Failures
from airflow_provider_tavus.collect.forget import partitions_with
from airflow_provider_tavus.collect.forms import Forms
from airflow_provider_tavus.collect.index import Index
from airflow_provider_tavus.collect.layout import RUNS, UNKNOWN_DATE
from airflow_provider_tavus.collect.ledger import Ledger, Sweep
from airflow_provider_tavus.collect.marks import Marks
from airflow_provider_tavus.collect.page import look_at_page
from airflow_provider_tavus.collect.plan import Progress
from airflow_provider_tavus.collect.reader import Reader
from airflow_provider_tavus.collect.stock import take_stock
from airflow_provider_tavus.collect.storing import Storing
from airflow_provider_tavus.collect.writer import SpoiltObjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.collect.certificate import Certificate
    from airflow_provider_tavus.collect.copies import Copies
    from airflow_provider_tavus.collect.crawl import Crawled
    from airflow_provider_tavus.collect.entry import Entry
    from airflow_provider_tavus.collect.page import Page
    from airflow_provider_tavus.collect.plan import Plan
    from airflow_provider_tavus.collect.store import Store

TOMBSTONES_ARE_WATCHED = 86_400.0
"""Seconds: a run that stores what was forgotten while it went on has ended by then."""
WORDS_WITH_OTHERS = 5
"""How often a run yields to others that overlap it and store something else, at most."""


class CollectionRun:
    """
    One run.

    :param client: reads from Tavus; inside its ``async with`` block.
    :param store: the destination.
    :param copies: takes what is stored, too.
    :param clock: tells epoch seconds.
    :param on_arrival: called with each partition before its tables are written, outside the event loop's thread.
    :param on_progress: called every ``progress_interval`` seconds while conversations are read.
    """

    def __init__(
        self,
        *,
        client: AsyncTavusClient,
        store: Store,
        plan: Plan,
        copies: Copies | None = None,
        clock: Callable[[], float] = time.time,
        on_arrival: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        progress_interval: float = 5.0,
    ) -> None:
        self._client = client
        self._store = store
        self._plan = plan
        self._copies = copies or NoCopies()
        self._clock = clock
        self._on_progress = on_progress
        self._progress_interval = progress_interval
        self._started_at, self._began = clock(), time.monotonic()
        self._run_id = uuid.uuid4().hex[:12]
        self._index = Index(plan.shard, now=self._started_at)
        self._ledger = Ledger(store, run_id=self._run_id, shard=plan.shard, clock=clock)
        self._marks = Marks(store, plan.shard, run_id=self._run_id, clock=clock)
        self._crawl = Crawl(self._read_page, self._index, started_at=self._started_at)
        self._crawled: Crawled | None = None
        self._failures = Failures(self._index)
        self._storing = Storing(
            store,
            plan,
            self._copies,
            index=self._index,
            ledger=self._ledger,
            marks=self._marks,
            failures=self._failures,
            on_arrival=on_arrival,
        )
        self._reader = Reader(
            client,
            self._index,
            plan,
            self._failures,
            clock=clock,
            read_object=store.read,
            hand_over=self._storing.hand_over,
        )
        self._forms = Forms(
            plan,
            self._copies,
            store=store,
            index=self._index,
            failures=self._failures,
            storing=self._storing,
        )
        self._not_all_removed = False

    @property
    def failure(self) -> Exception | None:
        """What kept the run from being complete, if anything did; of several the first."""
        return self._failures.first

    async def run(self) -> Certificate:
        """Do it, and return the certificate, which is at the destination as well."""
        try:
            await asyncio.to_thread(self._read_ledger)
            await asyncio.to_thread(self._look_after_others)
            await self._collect(self._read_list())
            await self._make_missing_forms()
            agreed = await self._agree_with_others()
            self._index.note_who_is_on_the_list(sweep_was_complete=self._swept())
            await self._storing.save(sweep=self._sweep_to_be_noted())
            not_well = self._storing.spoilt | self._storing.stale | self._index.partitions_in_doubt()
            if not not_well:
                # Otherwise the index has what the ledger must not have.
                await asyncio.to_thread(self._ledger.compact, self._index.all_entries)
            if agreed:
                await asyncio.to_thread(self._marks.clear, but=not_well)
            certificate = self._certificate()
            await asyncio.to_thread(self._write_certificate, certificate)
            return certificate
        finally:
            await self._storing.close()
            self._index.close()

    def _read_ledger(self) -> None:
        self._store.discard_unfinished()
        for entries in self._ledger.read_new():
            self._index.know(entries)

    def _look_after_others(self) -> None:
        """Find what runs that died have stored without the ledger's knowledge, or against it."""
        for partition in sorted(self._marks.left_by_others()):
            for stock in take_stock(self._store, self._plan.shard, partition, self._index.entry):
                undated = self._undated(stock.entries)
                self._index.know(stock.entries)
                self._remove_dated(undated)
                self._index.doubt(entry.conversation_id for entry in stock.entries)
                if stock.superfluous:
                    self._storing.remove(partition, stock.superfluous)
            # Their tables may be older than the raw objects.
            self._storing.make_anew(partition)

    def _undated(self, entries: list[Entry]) -> list[str]:
        """Return what is stored without a date by one of these entries, or by what is known without them."""
        return [
            entry.conversation_id
            for entry in entries
            if entry.partition == UNKNOWN_DATE or self._index.is_undated(entry.conversation_id)
        ]

    def _remove_dated(self, conversation_ids: list[str]) -> None:
        """Remove what has got its date from where it was stored without: runs that overlap may have stored both."""
        dated = [each for each in conversation_ids if not self._index.is_undated(each)]
        if dated:
            self._marks.write([UNKNOWN_DATE])
            self._storing.remove(UNKNOWN_DATE, dated)
            self._storing.make_anew(UNKNOWN_DATE)

    # Reading the list

    async def _read_list(self) -> None:
        last = self._ledger.last_sweep
        try:
            if last and last.order != "unknown" and self._started_at < last.at + self._plan.sweep_interval:
                created_before = self._started_at - self._plan.lookback
                self._crawled = await self._crawl.latest(last.order, created_before=created_before)
            if self._crawled is None:
                self._crawled = await self._crawl.sweep()
        except TavusError as error:
            # What it has shown so far is collected all the same.
            self._failures.note(error)

    async def _read_page(self, number: int) -> Page:
        self._storing.start_process_if_it_pays()
        return await self._client.send(look_at_page(number, limit=ROWS_ASKED_FOR))

    def _swept(self) -> bool:
        return self._crawled is not None and self._crawled.full and self._crawled.complete

    # Reading and storing conversations

    async def _collect(self, read_list: Coroutine[Any, Any, None]) -> None:
        """
        Read and store what is due.

        :param read_list: reads the list, which goes on meanwhile.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                listing = tasks.create_task(read_list)
                reporting = tasks.create_task(self._report())
                storing = tasks.create_task(self._storing.store_all())
                read_once = tasks.create_task(self._crawl.read_once.wait())
                await asyncio.wait([listing, read_once], return_when=asyncio.FIRST_COMPLETED)
                read_once.cancel()
                self._index.mark_open_ones()
                self._storing.start_process_if_it_pays()
                await self._reader.read_all(listing)
                await self._storing.hand_over(None)
                await storing
                reporting.cancel()
                # It goes on only where reading was given up.
                listing.cancel()
        except BaseExceptionGroup as faults:
            raise _first(faults) from None

    async def _make_missing_forms(self) -> None:
        async for partition in self._forms.make_missing():
            self._storing.changed.add(partition)
            await self._storing.save_if_much()
        await self._storing.save()

    # Others that overlap

    async def _agree_with_others(self) -> bool:
        """
        Have the last word, or let others have it; return whether either was to be had.

        Two runs that store different bodies of one conversation have read it at different moments, and the older
        body may have been stored last. Both write their segments before they look for the other's, so at least one
        of them sees that it is not alone, and reads the conversation once more.
        """
        for _ in range(WORDS_WITH_OTHERS):
            again: list[str] = []
            new = self._ledger.read_new()
            # Some at a time: others may have written as much as there is in all.
            while (entries := await asyncio.to_thread(next, new, None)) is not None:
                otherwise = [entry for entry in entries if self._index.stored_otherwise(entry)]
                undated = self._undated(otherwise)
                self._index.know(entries)
                await asyncio.to_thread(self._remove_dated, undated)
                again += [entry.conversation_id for entry in otherwise]
            self._copies.forget(await self._keep_forgotten())
            if not again:
                return True
            self._index.doubt(again)
            nothing_new = asyncio.sleep(0)
            await self._collect(nothing_new)
        return False

    async def _keep_forgotten(self) -> list[str]:
        """Remove what a run has stored of those that were forgotten while it did; return all that were, lately."""
        forgotten = self._index.forgotten_since(self._tombstones_are_watched_since())
        for conversation_id, partition in forgotten:
            known = [partition] if partition else None
            for each in await asyncio.to_thread(partitions_with, self._store, conversation_id, known):
                writer = await self._storing.writer()
                await self._storing.tell_of_arrival(each)
                try:
                    await asyncio.to_thread(writer.remove, each, conversation_id)
                    self._storing.changed.add(each)
                except SpoiltObjectError as fault:
                    self._storing.note_spoilt(each, fault)
                    self._not_all_removed = True
            self._index.settle_unchanged(conversation_id, None, None)
        return [conversation_id for conversation_id, _ in forgotten]

    def _tombstones_are_watched_since(self) -> float:
        # A run that crashed may have left what was forgotten beside it. That is for the first run that comes after:
        # no sweep is younger than the crash then, and none is noted before this was seen to.
        last = self._ledger.last_sweep
        return min(self._started_at, last.at if last else 0.0) - TOMBSTONES_ARE_WATCHED

    def _sweep_to_be_noted(self) -> Sweep | None:
        """Return what the ledger is to tell later runs of the reading of the list, if anything."""
        if self._crawled is None or not self._swept() or self._not_all_removed:
            # What is left has to be watched until it can be removed.
            return None
        sweep = Sweep(self._started_at, self._crawled.order)
        return sweep if sweep.order != "unknown" or self._spares_watching_tombstones() else None

    def _spares_watching_tombstones(self) -> bool:
        # A sweep of which no order is known spares no reading of the list.
        lately = self._started_at - TOMBSTONES_ARE_WATCHED
        return len(self._index.forgotten_since(self._tombstones_are_watched_since())) > len(
            self._index.forgotten_since(lately)
        )

    # What is left to say

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._progress_interval)
            done, left = self._reader.done, self._reader.under_way + self._index.due()
            self._on_progress(Progress(done, done + left, time.monotonic() - self._began))

    def _certificate(self) -> Certificate:
        return certify(
            self._index.counts(),
            self._crawled,
            run_id=self._run_id,
            shard=str(self._plan.shard),
            started_at=as_time(self._started_at),
            finished_at=as_time(self._clock()),
            seconds=round(time.monotonic() - self._began, 3),
            partitions=sorted(self._storing.changed),
            spoilt_partitions=sorted(self._storing.spoilt),
            requests=self._client.requests_sent,
            bytes=self._client.bytes_received,
        )

    def _write_certificate(self, certificate: Certificate) -> None:
        content = json.dumps(certificate.as_plain(), indent=2).encode() + b"\n"
        name = certificate.started_at.replace(":", "").replace("-", "")
        self._store.write(f"{RUNS}/{name}-{self._run_id}.json", content)


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    fault = faults.exceptions[0]
    return _first(fault) if isinstance(fault, BaseExceptionGroup) else fault
