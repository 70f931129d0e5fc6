"""Puts conversations at the destination: a raw object each, and tables made of all raw objects of a date."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_tavus.collect.formats import FORMATS, lines_of_tables, rendered
from airflow_provider_tavus.collect.layout import (
    is_safe_name,
    raw_folder,
    raw_object,
    rendering_object,
    safe_name,
    table_object,
)
from airflow_provider_tavus.collect.spool import Spool
from airflow_provider_tavus.collect.tables import CONVERSATIONS, TABLES, read_json_lines
from airflow_provider_tavus.conversations.renderings.formats import RENDERINGS
from airflow_provider_tavus.conversations.renderings.lines import Style

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow_provider_tavus.collect.formats import RowWriter
    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store
    from airflow_provider_tavus.collect.tables import Table

T = TypeVar("T")
R = TypeVar("R")

UPLOADS_IN_FLIGHT = 32
READ_AT_A_TIME = 64
MOST_REBUILDS = 20


@dataclass(frozen=True, slots=True)
class Collected:
    """
    A conversation to be stored.

    :param body: the raw object's bytes.
    :param moved_from: the partition under which an earlier version is stored, if that is another one.
    """

    conversation_id: str
    partition: str
    body: bytes = field(repr=False)
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class NotStored:
    """
    Says that a conversation was not stored, because no rows or renderings can be made of it.

    :param fault: the class of what was raised; its text could be what somebody said.
    """

    fault: str


class SpoiltObjectError(Exception):
    """A raw object is not what it is named after, so no tables can be made of its date. No message has a word of it."""


class PartitionNeverRestsError(Exception):
    """A partition was changed by others whenever it had just been written."""


@dataclass(frozen=True, slots=True)
class _Made:
    collected: Collected
    lines: Sequence[bytes] = field(repr=False)
    renderings: Mapping[str, bytes] = field(repr=False)


class Writer:
    """
    Writes to a destination. Used by one thread at a time.

    :param store: the destination.
    :param shard: whose table files are written.
    :param formats: those that the tables are written in.
    :param renderings: those that are stored of each conversation.
    """

    def __init__(self, store: Store, *, shard: Shard, formats: Sequence[str], renderings: Sequence[str] = ()) -> None:
        self._store = store
        self._shard = shard
        self._formats = formats
        self._renderings = renderings
        self._spool = Spool()
        self._moved: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._pool = None if store.is_local else ThreadPoolExecutor(UPLOADS_IN_FLIGHT, "tavus-collect")

    def close(self) -> None:
        """Let go of everything."""
        self._spool.close()
        if self._pool is not None:
            self._pool.shutdown()

    def take(self, batch: Sequence[Collected]) -> list[str | NotStored]:
        """
        Store raw objects, and keep their rows aside until their partition is finished.

        :return: for each, the SHA-256 of the object's bytes, in hexadecimal, or why it was not stored.
        """
        # Before anything is written: the tables of a date are made of all its raw objects, or not at all.
        made = [self._make(each) for each in batch]
        self._each(self._store_one, (each for each in made if isinstance(each, _Made)))
        return [self._keep_aside(each) if isinstance(each, _Made) else each for each in made]

    def finish(self, partition: str) -> set[str]:
        """Make the tables of a partition that has changed anew, and of those that it took from; return which."""
        moved = self._moved.pop(partition, set())
        self._each(self._store.delete, chain.from_iterable(objects_of(*place) for place in moved))
        changed = {partition, *(earlier for earlier, _ in moved)}
        for each in sorted(changed):
            self.rebuild(each)
        self._spool.drop(partition)
        return changed

    def render(self, partition: str, conversation_ids: Sequence[str]) -> list[NotStored | None]:
        """
        Make the renderings of conversations that are stored already.

        :return: for each, why they were not stored, if they were not.
        :raises FileNotFoundError: if the raw object of one is not there.
        """
        return self._each(partial(self._render, partition), conversation_ids)

    def rebuild(self, partition: str) -> None:
        """
        Write the tables of what is there, until they are of what is there.

        Runs may overlap: whoever has written a partition looks again, and has to find the raw objects as they were
        before. So the last to write it has seen them all.

        :raises SpoiltObjectError: if a raw object is no conversation: the tables stay as they are.
        """
        for _ in range(MOST_REBUILDS):
            before = raw_objects(self._store, partition, self._shard)
            try:
                self._write_tables(partition, sorted(before))
            except FileNotFoundError:
                continue
            if raw_objects(self._store, partition, self._shard) == before:
                return
        raise PartitionNeverRestsError(f"The partition {partition} changes all the time: let fewer runs overlap.")

    def remove(self, partition: str, conversation_id: str) -> None:
        """Remove a conversation from a partition: its raw object, its renderings and its rows."""
        self._spool.drop(partition)
        # Whoever looks for it after a crash has to find an object of it, as long as its rows may be in the tables.
        *others, remains = objects_of(partition, conversation_id)
        self._store.write(remains, b"")
        self._each(self._store.delete, others)
        self.rebuild(partition)
        self._store.delete(remains)

    def _make(self, collected: Collected) -> _Made | NotStored:
        try:
            return _Made(collected, lines_of_tables(collected.body), self._rendered(collected.body))
        except Exception as fault:
            return NotStored(type(fault).__name__)

    def _store_one(self, made: _Made) -> None:
        place = made.collected.partition, made.collected.conversation_id
        self._store.write(raw_object(*place), made.collected.body)
        self._store_renderings(*place, made.renderings)

    def _rendered(self, body: bytes) -> Mapping[str, bytes]:
        return rendered(body, endings=self._renderings, style=Style()) if self._renderings else {}

    def _store_renderings(self, partition: str, conversation_id: str, renderings: Mapping[str, bytes]) -> None:
        for ending, text in renderings.items():
            self._store.write(rendering_object(partition, conversation_id, ending), text)

    def _render(self, partition: str, conversation_id: str) -> NotStored | None:
        body = self._store.read(raw_object(partition, conversation_id))
        try:
            renderings = self._rendered(body)
        except Exception as fault:
            return NotStored(type(fault).__name__)
        self._store_renderings(partition, conversation_id, renderings)
        return None

    def _keep_aside(self, made: _Made) -> str:
        collected = made.collected
        self._spool.put(collected.partition, safe_name(collected.conversation_id), made.lines)
        if collected.moved_from is not None:
            self._moved[collected.partition].add((collected.moved_from, collected.conversation_id))
        return sha256(collected.body).hexdigest()

    def _write_tables(self, partition: str, names: Sequence[str]) -> None:
        places = {
            (table.name, form): table_object(table.name, partition, self._shard, form)
            for table in TABLES
            for form in self._formats
        }
        if not names:
            self._each(self._store.delete, places.values())
            return
        # Whatever happens, all writers are closed before any file is: they write to them then.
        with ExitStack() as files, ExitStack() as open_writers:

            def opened(table: Table, form: str) -> RowWriter:
                file = files.enter_context(self._store.writing(places[table.name, form]))
                return open_writers.enter_context(closing(FORMATS[form](table, file)))

            writers = [[opened(table, form) for form in self._formats] for table in TABLES]
            for lines_of_tables in self._rows(partition, names):
                for of_table, lines in zip(writers, lines_of_tables, strict=True):
                    for writer in of_table:
                        writer.write(lines)

    def _rows(self, partition: str, names: Sequence[str]) -> Iterator[Sequence[bytes]]:
        for start in range(0, len(names), READ_AT_A_TIME):
            some = names[start : start + READ_AT_A_TIME]
            kept = self._spool.get(partition, some)
            missing = [name for name in some if name not in kept]
            objects = [f"{raw_folder(partition)}/{name}.json" for name in missing]
            bodies = self._each(self._store.read, objects)
            kept |= dict(zip(missing, map(lines_of_raw_object, objects, bodies), strict=True))
            yield from (kept[name] for name in some)

    def _each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return list((self._pool.map if self._pool else map)(work, items))


def lines_of_raw_object(name: str, body: bytes) -> Sequence[bytes]:
    """
    Return the lines of a raw object.

    :raises SpoiltObjectError: if there are none, or they are not those of the conversation that it is named after:
        passed over, its rows would vanish from the tables unnoticed; a copy's rows would be there twice.
    """
    with suppress(Exception):
        lines = lines_of_tables(body)
        (row,) = read_json_lines(CONVERSATIONS, lines[:1])
        if name.endswith(f"/{safe_name(row.conversation_id)}.json"):
            return lines
    # Not from the fault: its words could be what somebody said.
    raise SpoiltObjectError(
        f"{name} at the destination is not the conversation of that name as Tavus has sent it, so the tables of its "
        "date cannot be made. If others have put it there, remove it. If not, put there what Tavus answers when it is "
        "asked for the conversation with verbose=true, or remove it, and its rows go."
    )


def raw_objects(store: Store, partition: str, shard: Shard) -> dict[str, object]:
    """Return a shard's raw objects in a partition: their names without the ending, and their versions."""
    versions = {
        name.removesuffix(".json"): version
        for name, version in store.versions(raw_folder(partition)).items()
        if name.endswith(".json")
    }
    return {name: version for name, version in versions.items() if is_safe_name(name) and shard.has_name(name)}


def objects_of(partition: str, conversation_id: str) -> list[str]:
    """Return the names of all that may be there of a conversation alone: its raw object, then its renderings."""
    renderings = [rendering_object(partition, conversation_id, ending) for ending in RENDERINGS]
    return [raw_object(partition, conversation_id), *renderings]
