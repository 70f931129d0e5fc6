"""
What is known of each conversation, kept beside the data.

The ledger is the sum of its segments, objects of JSON Lines that are written once and never changed. Each has a name
of its own, so runs that overlap do not overwrite one another. Of several entries about one conversation the latest
counts, and a tombstone counts before all others. Now and then a run writes one segment that says what many said, and
removes those afterwards; whatever happens in between, reading all that are there gives the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_tavus.collect.entry import Entry, as_epoch, as_time
from airflow_provider_tavus.collect.layout import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_tavus.collect.crawl import Order
    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store

FORMAT = 1
MOST_SEGMENTS = 32
"""With more than these, they are made into one."""
ENTRIES_AT_A_TIME = 1000
LOOKS = 20


class UnreadableLedgerError(Exception):
    """An object of the ledger is not what a run has written."""


class ShardCountError(Exception):
    """The runs into one destination do not agree on the number of shards."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """
    The last time that the list was read to its end.

    :param at: epoch seconds.
    :param order: the order in which it showed its rows.
    """

    at: float
    order: Order


class Ledger:
    """
    The ledger of a destination, as one run uses it.

    :param store: the destination.
    :param run_id: names this run's segments.
    :param shard: on whose behalf the run is; None for whoever takes any number of shards.
    :param clock: tells epoch seconds.
    """

    def __init__(self, store: Store, *, run_id: str, shard: Shard | None, clock: Callable[[], float]) -> None:
        self._store = store
        self._run_id = run_id
        self._shard = shard
        self.shards = shard.count if shard else None
        """How many shards the destination is collected in; None if nothing tells yet."""
        self._clock = clock
        self._read: list[str] = []
        self._written: list[str] = []
        self._numbers = count()
        self._sweeps: dict[str, Sweep] = {}

    @property
    def last_sweep(self) -> Sweep | None:
        """The last sweep on behalf of this run's shard, as far as has been read."""
        return self._sweeps.get(str(self._shard))

    def read_new(self) -> Iterator[list[Entry]]:
        """Read the segments that others have written and that this run has not read, some entries at a time."""
        for _ in range(LOOKS):
            segments = filter(_may_be_a_segment, self._store.versions(LEDGER))
            unread = sorted({*segments} - {*self._read, *self._written})
            if not unread:
                return
            for name in unread:
                try:
                    yield from self._entries(name)
                except FileNotFoundError:
                    # Somebody has just made it part of a longer one, which the next look finds.
                    continue
                self._read.append(name)
        raise UnreadableLedgerError("The ledger changes faster than it can be read: let fewer runs overlap.")

    def write(self, entries: Iterable[str], *, sweep: Sweep | None = None) -> None:
        """
        Add a segment.

        :param entries: in JSON.
        :param sweep: a sweep to record.
        """
        sweeps = {str(self._shard): sweep} if sweep is not None else {}
        self._sweeps |= sweeps
        self._written.append(self._write_segment(entries, sweeps))

    def compact(self, entries: Callable[[], Iterable[str]]) -> None:
        """
        Make one segment of all that were read or written, if they are many.

        :param entries: returns what they say in all, in JSON.
        """
        covered = [*self._read, *self._written]
        if len(covered) <= MOST_SEGMENTS:
            return
        self._read, self._written = [], [self._write_segment(entries(), self._sweeps)]
        for name in covered:
            self._store.delete(f"{LEDGER}/{name}")

    def _write_segment(self, entries: Iterable[str], sweeps: dict[str, Sweep]) -> str:
        now = as_time(self._clock())
        # In the order of their names a run's segments are read, so that of two entries of one moment the later counts.
        name = f"{now.translate(_ONLY_DIGITS)[:14]}-{self._run_id}-{next(self._numbers):08d}.jsonl"
        header = {
            "ledger": FORMAT,
            "run": self._run_id,
            "shards": self.shards,
            "written_at": now,
            "sweeps": {shard: {"at": as_time(sweep.at), "order": sweep.order} for shard, sweep in sweeps.items()},
        }
        with self._store.writing(f"{LEDGER}/{name}") as file:
            file.write(json.dumps(header).encode() + b"\n")
            for entry in entries:
                file.write(entry.encode() + b"\n")
        return name

    def _entries(self, name: str) -> Iterator[list[Entry]]:
        try:
            with self._store.lines(f"{LEDGER}/{name}") as lines:
                self._read_header(msgspec.json.decode(next(lines, b"null")))
                some: list[Entry] = []
                for line in lines:
                    some.append(Entry.from_json(msgspec.json.decode(line)))
                    if len(some) == ENTRIES_AT_A_TIME:
                        yield some
                        some = []
                yield some
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError) as fault:
            raise UnreadableLedgerError(
                f"The ledger's object {LEDGER}/{name} cannot be read ({type(fault).__name__}). Restore it from a "
                "backup; or delete it, and what it tells of will be collected again. Conversations that were forgotten "
                "come back then, too, and have to be forgotten once more."
            ) from None

    def _read_header(self, header: Any) -> None:
        if header["ledger"] > FORMAT:
            raise UnreadableLedgerError(
                f"The ledger was written by a later version of this provider (format {header['ledger']}): update."
            )
        if self._shard is None:
            self.shards = header["shards"] or self.shards
        elif header["shards"] not in {None, self.shards}:
            # Each shard has a table file of its own, so with another number rows would be there twice.
            raise ShardCountError(
                f"This destination is collected in {header['shards']} shards, not in {self.shards}: count as "
                "many, or begin another destination."
            )
        for shard, told in header["sweeps"].items():
            sweep = Sweep(as_epoch(told["at"]), told["order"])
            known = self._sweeps.get(shard)
            if known is None or known.at < sweep.at:
                self._sweeps[shard] = sweep


def _may_be_a_segment(name: str) -> bool:
    # Others leave something of their own in a folder, such as a .DS_Store. But a segment that somebody has renamed may
    # hold tombstones.
    return name.endswith(".jsonl") and not name.startswith(".")


_ONLY_DIGITS = {ord(character): None for character in "-:.TZ"}
