"""Remembers at the destination which dates have changed until somebody is told, even if the run that did it dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.collect.layout import UNTOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store


class Arrivals:
    """
    What arrived on behalf of one shard, by date: empty objects, one for each partition.

    :param store: the destination.
    """

    def __init__(self, store: Store, shard: Shard) -> None:
        self._store = store
        self._prefix = f"{shard.index:05d}-"

    def note(self, partition: str) -> None:
        """Remember a partition whose tables are about to be written."""
        self._store.write(self._name(partition), b"")

    def untold(self) -> list[str]:
        """Return the partitions of which nobody was told."""
        names = self._store.versions(UNTOLD)
        return sorted(name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix))

    def told(self, partitions: Iterable[str]) -> None:
        """Forget partitions of which somebody was told."""
        for partition in partitions:
            self._store.delete(self._name(partition))

    def _name(self, partition: str) -> str:
        return f"{UNTOLD}/{self._prefix}{partition}"
