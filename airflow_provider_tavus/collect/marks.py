"""
Tells later runs where a run was writing that did not come to its end.

Raw objects are written before the ledger tells of them, and the older of two bodies may be written last, until the
runs that overlap agree. A run that dies in between leaves what no other would look at again. So its mark, an object
that names the partitions it writes to, is there before and goes when all is well. While it writes, the run renews it:
what others find renewed lately may be a living run's, and stays, so that it still tells of a run that dies later.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from airflow_provider_tavus.collect.entry import as_epoch, as_time
from airflow_provider_tavus.collect.layout import RAW, UNKNOWN_DATE, WRITING, raw_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store

RENEWED_AFTER = 60.0
"""Seconds."""
DEAD_AFTER = 300.0
"""Seconds: whoever has not renewed its mark for so long has died, or writes nothing any more."""
_PARTITION = rf"\d{{4}}-\d\d-\d\d|{UNKNOWN_DATE}"


class _Mark(msgspec.Struct, frozen=True):
    """
    What a mark says.

    :param at: when it was written or renewed, in ISO 8601.
    :param partitions: those that its run writes to.
    """

    at: str
    partitions: list[Annotated[str, msgspec.Meta(pattern=rf"\A({_PARTITION})\Z")]]


class Marks:
    """
    The mark of one run, and those that others of its shard have left.

    :param clock: tells epoch seconds.
    """

    def __init__(self, store: Store, shard: Shard, *, run_id: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._prefix = f"{shard.index:05d}-"
        self._own = f"{self._prefix}{run_id}"
        self._clock = clock
        self._partitions: set[str] = set()
        self._renewed_at = 0.0
        self._left: dict[str, Any] = {}

    def left_by_others(self) -> set[str]:
        """Return the partitions to which others were writing, and may still be."""
        partitions: set[str] = set()
        for name, version in self._versions().items():
            if name.startswith(self._prefix) and name != self._own:
                with suppress(FileNotFoundError):
                    marked, at = self._read(name)
                    partitions.update(marked)
                    if at + DEAD_AFTER <= self._clock():
                        self._left[name] = version
        return partitions

    def covers(self, partitions: Collection[str]) -> bool:
        """Tell whether this run's mark names all of these."""
        return self._partitions.issuperset(partitions) and self._clock() < self._renewed_at + RENEWED_AFTER

    def write(self, partitions: Collection[str]) -> None:
        """Mark partitions before something is written there."""
        self._partitions.update(partitions)
        self._renewed_at = self._clock()
        mark = _Mark(as_time(self._renewed_at), sorted(self._partitions))
        self._store.write(f"{WRITING}/{self._own}", msgspec.json.encode(mark))

    def clear(self, *, but: Collection[str] = ()) -> None:
        """
        Remove this run's mark, and those of the dead that it has found, but for what was marked again since.

        :param but: partitions in which not all is well yet; this run's mark stays, and names these alone.
        """
        if but:
            self._partitions.clear()
            self.write(but)
        versions = self._versions()
        own = {} if but else {self._own: versions.get(self._own)}
        for name, version in {**self._left, **own}.items():
            if name in versions and versions[name] == version:
                self._store.delete(f"{WRITING}/{name}")

    def _read(self, name: str) -> tuple[Collection[str], float]:
        """Return which partitions a mark names, and when it was written."""
        content = self._store.read(f"{WRITING}/{name}")
        try:
            mark = msgspec.json.decode(content, type=_Mark)
            return mark.partitions, as_epoch(mark.at)
        except (msgspec.MsgspecError, ValueError, OverflowError):
            # Nobody is writing it, as marks are there whole or not at all, but it may have been anybody's.
            return self._all_partitions(), 0.0

    def _all_partitions(self) -> list[str]:
        of_a_partition = re.compile(raw_folder(f"({_PARTITION})"))
        folders = (of_a_partition.fullmatch(f"{RAW}/{name}") for name in self._store.folders(RAW))
        return [folder[1] for folder in folders if folder]

    def _versions(self) -> dict[str, Any]:
        return self._store.versions(WRITING)
