"""
What a conversation is stored as beside its raw object, and what was not wanted yet when it was stored.

A format, a rendering or a database that is switched on later is to have what was stored before, too. That is made of
the raw objects: nothing is asked of Tavus, which may have deleted it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airflow_provider_tavus.collect.layout import raw_folder, raw_object, safe_name
from airflow_provider_tavus.collect.writer import SpoiltObjectError, lines_of_raw_object

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from airflow_provider_tavus.collect.copies import Copies
    from airflow_provider_tavus.collect.entry import Entry
    from airflow_provider_tavus.collect.failures import Failures
    from airflow_provider_tavus.collect.index import Index
    from airflow_provider_tavus.collect.plan import Plan
    from airflow_provider_tavus.collect.store import Store
    from airflow_provider_tavus.collect.storing import Storing
    from airflow_provider_tavus.collect.writer import NotStored

log = logging.getLogger(__name__)

COPIED_AT_A_TIME = 64
TRIES = 5
"""How often a partition is gone through that others change meanwhile, at most; the next run tries again."""
_GONE = (
    "What is stored of %s is not stored as %s as well: %d of its raw objects are gone, and their rows would go, too."
)


def names_of_forms(plan: Plan, copies: Copies) -> tuple[str, ...]:
    """Return the names by which the ledger knows the forms that a run stores everything in."""
    return tuple(sorted({*plan.formats, *plan.renderings, *copies.names}))


class Forms:
    """
    The forms that one run stores everything in.

    :param store: the destination.
    :param storing: writes to it.
    :param failures: takes in what cannot be brought into a form.
    """

    def __init__(
        self,
        plan: Plan,
        copies: Copies,
        *,
        store: Store,
        index: Index,
        failures: Failures,
        storing: Storing,
    ) -> None:
        self._plan = plan
        self._copies = copies
        self._store = store
        self._index = index
        self._storing = storing
        self._failures = failures
        self._names = names_of_forms(plan, copies)

    async def make_missing(self) -> AsyncIterator[str]:
        """Make of what is stored what was not wanted when it was stored, and yield the partitions of what was made."""
        for partition, entries in self._index.not_stored_as(self._names):
            missing = set(self._names).difference(entries[0].stored_as)
            for _ in range(TRIES):
                before = await self._versions(partition)
                if gone := sum(version is None for version in before.values()):
                    log.warning(_GONE, partition, ", ".join(sorted(missing)), gone)
                    break
                try:
                    faults = await self._make(missing, partition, [entry.conversation_id for entry in entries])
                except FileNotFoundError:
                    continue
                except SpoiltObjectError as fault:
                    self._storing.note_spoilt(partition, fault)
                    break
                # Others may have stored something later meanwhile, and then what was made is too old.
                if await self._versions(partition) == before:
                    self._note(entries, faults)
                    yield partition
                    break

    async def _versions(self, partition: str) -> dict[str, object]:
        """Return which versions of the raw objects are there; None where there is none."""
        found = await asyncio.to_thread(self._store.versions, raw_folder(partition))
        return {each: found.get(f"{safe_name(each)}.json") for each in self._index.stored_in(partition)}

    async def _make(self, missing: set[str], partition: str, ids: Sequence[str]) -> dict[str, NotStored]:
        """Make what is missing, and return the conversations of which it cannot be made."""
        log.info("Storing the %d conversations of %s as %s as well.", len(ids), partition, ", ".join(sorted(missing)))
        await self._storing.tell_of_arrival(partition)
        faults: list[NotStored | None] = [None] * len(ids)
        if missing.intersection(self._plan.renderings):
            faults = await asyncio.to_thread((await self._storing.writer()).render, partition, ids)
        if missing.intersection(self._plan.formats):
            await asyncio.to_thread((await self._storing.writer()).rebuild, partition)
        if missing.intersection(self._copies.names):
            await self._copy(partition, ids)
        return {each: fault for each, fault in zip(ids, faults, strict=True) if fault is not None}

    async def _copy(self, partition: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), COPIED_AT_A_TIME):
            names = [raw_object(partition, each) for each in ids[start : start + COPIED_AT_A_TIME]]
            self._copies.store(await asyncio.gather(*(asyncio.to_thread(self._read, name) for name in names)))

    def _read(self, name: str) -> bytes:
        body = self._store.read(name)
        # What takes copies would tell neither which object is spoilt nor keep its words to itself.
        lines_of_raw_object(name, body)
        return body

    def _note(self, entries: Sequence[Entry], faults: Mapping[str, NotStored]) -> None:
        for conversation_id, fault in faults.items():
            self._failures.note_unusable(conversation_id, fault.fault)
        self._index.settle(
            (replace(entry, stored_as=tuple(sorted({*entry.stored_as, *self._names}))), None)
            for entry in entries
            if entry.conversation_id not in faults
        )
