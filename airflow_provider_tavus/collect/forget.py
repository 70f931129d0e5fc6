"""Removes a conversation from a destination, and sees to it that no run brings it back."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.collect.entry import Entry, as_time
from airflow_provider_tavus.collect.formats import FORMATS
from airflow_provider_tavus.collect.index import Index
from airflow_provider_tavus.collect.layout import (
    RAW,
    RUNS,
    Shard,
    table_folder,
    table_object,
)
from airflow_provider_tavus.collect.ledger import Ledger
from airflow_provider_tavus.collect.tables import TABLES
from airflow_provider_tavus.collect.writer import Writer, objects_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_tavus.collect.copies import Copies
    from airflow_provider_tavus.collect.store import Store

UNFINISHED_IS_NOBODYS_AFTER = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """
    The record of what was removed.

    :param at: when, ISO 8601 in UTC.
    :param deleted_at_tavus: whether it was deleted there as well; None if Tavus did not know it.
    :param removed: the objects that were removed.
    :param rewritten: the objects that were written anew without it.
    """

    conversation_id: str
    at: str
    deleted_at_tavus: bool | None
    removed: list[str]
    rewritten: list[str]

    def as_plain(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return asdict(self)


def forget(
    conversation_id: str,
    *,
    store: Store,
    clock: Callable[[], float],
    copies: Copies | None = None,
    delete_at_tavus: Callable[[], bool] | None = None,
) -> Forgotten:
    """
    Remove a conversation.

    The tombstone comes first: whatever happens afterwards, no run that begins later collects it again, and doing
    this once more removes what is left. The id stays in the ledger and in the record; nothing else does.

    :param copies: whatever took what was stored.
    :param delete_at_tavus: deletes it there, and returns False if Tavus did not know it; None leaves it there.
    :raises TavusError: after all else was done, if it could not be deleted there.
    """
    now = clock()
    run_id = uuid.uuid4().hex[:12]
    ledger = Ledger(store, run_id=run_id, shard=None, clock=clock)
    known = _known(ledger, conversation_id, now=now)
    partitions = partitions_with(store, conversation_id)
    partition = known.partition if known else next(iter(partitions), None)
    tombstone = Entry(conversation_id=conversation_id, state="forgotten", at=now, partition=partition)
    ledger.write([json.dumps(tombstone.as_json())])
    deleted, failure = _delete(delete_at_tavus)
    if copies is not None:
        copies.forget([conversation_id])
    store.discard_unfinished(older_than=UNFINISHED_IS_NOBODYS_AFTER)
    forgotten = Forgotten(
        conversation_id=conversation_id,
        at=as_time(now),
        deleted_at_tavus=deleted,
        removed=[],
        rewritten=[],
    )
    # The partition of the ledger as well: a run that crashed may have left rows of it there.
    for each in sorted({*partitions, *([partition] if partition else [])}):
        _remove(store, Shard.of(conversation_id, ledger.shards or 1), each, forgotten)
    content = json.dumps(forgotten.as_plain(), indent=2).encode() + b"\n"
    store.write(f"{RUNS}/{as_time(now).translate({45: None, 58: None})}-{run_id}-forgotten.json", content)
    if failure is not None:
        raise failure
    return forgotten


def _delete(delete_at_tavus: Callable[[], bool] | None) -> tuple[bool | None, TavusError | None]:
    """Return what the record is to say, and what went wrong: that is to keep nothing at the destination."""
    if delete_at_tavus is None:
        return False, None
    try:
        return delete_at_tavus() or None, None
    except TavusError as failure:
        return False, failure


def _known(ledger: Ledger, conversation_id: str, *, now: float) -> Entry | None:
    index = Index(Shard(), now=now)
    try:
        for entries in ledger.read_new():
            index.know(entry for entry in entries if entry.conversation_id == conversation_id)
        return index.entry(conversation_id)
    finally:
        index.close()


def partitions_with(store: Store, conversation_id: str, among: Sequence[str] | None = None) -> list[str]:
    """
    Return the partitions that hold a conversation, whatever the ledger says.

    :param among: where to look; None is everywhere.
    """
    if among is None:
        among = [folder.removeprefix("created=") for folder in store.folders(RAW)]
    return [each for each in among if any(map(store.has, objects_of(each, conversation_id)))]


def _remove(store: Store, shard: Shard, partition: str, forgotten: Forgotten) -> None:
    forgotten.removed.extend(name for name in objects_of(partition, forgotten.conversation_id) if store.has(name))
    endings = {
        name.rsplit(".", 1)[-1] for table in TABLES for name in store.versions(table_folder(table.name, partition))
    }
    # Others may have put something there, such as a .DS_Store.
    formats = endings & FORMATS.keys()
    writer = Writer(store, shard=shard, formats=sorted(formats))
    try:
        writer.remove(partition, forgotten.conversation_id)
    finally:
        writer.close()
    tables = [table_object(table.name, partition, shard, form) for table in TABLES for form in sorted(formats)]
    forgotten.rewritten.extend(name for name in tables if store.has(name))
