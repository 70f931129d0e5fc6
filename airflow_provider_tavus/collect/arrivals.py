"""Remembers at the destination which dates have changed until somebody is told, even if the run that did it dies."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_tavus.collect.layout import UNTOLD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store


class Arrivals:
    """
    What arrived on behalf of one shard, by date: an object for each partition, with who has told of it.

    Whoever tells may die before Airflow has heard it. So a date stays noted until another task has something to tell:
    the same one, tried again, tells of it again.

    :param store: the destination.
    :param teller: the task that tells, the same in each of its tries.
    """

    def __init__(self, store: Store, shard: Shard, *, teller: str) -> None:
        self._store = store
        self._prefix = f"{shard.index:05d}-"
        self._teller = teller

    def note(self, partition: str) -> None:
        """Remember a partition whose tables are about to be written."""
        self._store.write(self._name(partition), b"")

    def untold(self) -> list[str]:
        """Return the partitions of which no other task has told anybody."""
        return sorted(partition for partition, teller in self._notes() if teller in {"", self._teller})

    def told(self, partitions: Collection[str]) -> None:
        """Note of which partitions this task tells, and forget those that others have told of."""
        for partition, teller in self._notes():
            if partition in partitions:
                self._store.write(self._name(partition), self._teller.encode())
            elif teller not in {"", self._teller}:
                self._store.delete(self._name(partition))

    def _notes(self) -> Iterator[tuple[str, str]]:
        for name in self._store.versions(UNTOLD):
            if name.startswith(self._prefix):
                with suppress(FileNotFoundError):
                    yield name.removeprefix(self._prefix), self._store.read(f"{UNTOLD}/{name}").decode()

    def _name(self, partition: str) -> str:
        return f"{UNTOLD}/{self._prefix}{partition}"
