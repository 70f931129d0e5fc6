"""
Tells later runs where a run was writing that did not come to its end.

Raw objects are written before the ledger tells of them, and the older of two bodies may be written last, until the
runs that overlap agree. A run that dies in between leaves what no other would look at again. So its mark, an object
that names the partitions it writes to, is there before and goes when all is well.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.collect.layout import WRITING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store

RENEWED_AFTER = 60.0
"""Seconds: a run that overlaps this one removes its mark, as that of one that died."""


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
        """Return the partitions to which others were writing."""
        partitions: set[str] = set()
        for name, version in self._versions().items():
            if name.startswith(self._prefix) and name != self._own:
                with suppress(FileNotFoundError, ValueError):
                    partitions.update(json.loads(self._store.read(f"{WRITING}/{name}")))
                    self._left[name] = version
        return partitions

    def covers(self, partitions: Collection[str]) -> bool:
        """Tell whether this run's mark names all of these."""
        return self._partitions.issuperset(partitions) and self._clock() < self._renewed_at + RENEWED_AFTER

    def write(self, partitions: Collection[str]) -> None:
        """Mark partitions before something is written there."""
        self._partitions.update(partitions)
        self._renewed_at = self._clock()
        self._store.write(f"{WRITING}/{self._own}", json.dumps(sorted(self._partitions)).encode())

    def clear(self) -> None:
        """Remove this run's mark, and those that it has found, but for what was marked again since."""
        versions = self._versions()
        for name, version in {**self._left, self._own: versions.get(self._own)}.items():
            if name in versions and versions[name] == version:
                self._store.delete(f"{WRITING}/{name}")

    def _versions(self) -> dict[str, Any]:
        return self._store.versions(WRITING)
