"""Compares what is stored in a partition with what the ledger says of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.collect.entry import Entry
from airflow_provider_tavus.collect.layout import UNKNOWN_DATE, raw_folder
from airflow_provider_tavus.collect.sent import SentConversation
from airflow_provider_tavus.collect.writer import raw_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.store import Store

READ_AT_A_TIME = 32
COMPARED_AT_A_TIME = 1000


class Stock(NamedTuple):
    """
    What is stored otherwise than the ledger says.

    :param entries: what the ledger would have to say of it; it is to be read once more.
    :param superfluous: the ids of what should not be there.
    """

    entries: list[Entry]
    superfluous: list[str]


def take_stock(store: Store, shard: Shard, partition: str, entry_of: Callable[[str], Entry | None]) -> Iterator[Stock]:
    """
    Look at all raw objects of a partition, as after a run that died while it wrote to it, some at a time.

    :param entry_of: returns what the ledger says of a conversation.
    """
    names = list(raw_objects(store, partition, shard))
    with ThreadPoolExecutor(READ_AT_A_TIME, "tavus-stock") as pool:
        for start in range(0, len(names), COMPARED_AT_A_TIME):
            some = names[start : start + COMPARED_AT_A_TIME]
            objects = [f"{raw_folder(partition)}/{name}.json" for name in some]
            yield _compare(pool.map(partial(_found, store), objects), partition, entry_of)


def _compare(
    all_found: Iterable[tuple[str, str] | None], partition: str, entry_of: Callable[[str], Entry | None]
) -> Stock:
    stock = Stock([], [])
    for found in all_found:
        if found is None:
            continue
        conversation_id, digest = found
        known = entry_of(conversation_id)
        if known is not None and (known.state == "forgotten" or _has_moved_on(known, partition)):
            stock.superfluous.append(conversation_id)
        elif known is None or (known.partition, known.sha256) != (partition, digest):
            stock.entries.append(_as_stored(known, conversation_id, partition, digest))
    return stock


def _has_moved_on(known: Entry, partition: str) -> bool:
    # What had no date can get one; what has one keeps it.
    return known.sha256 is not None and partition == UNKNOWN_DATE and known.partition != UNKNOWN_DATE


def _as_stored(known: Entry | None, conversation_id: str, partition: str, digest: str) -> Entry:
    if known is None:
        known = Entry(conversation_id=conversation_id, state="collected", at=0.0, listed=False)
    elif known.sha256 is None:
        known = replace(known, state="collected", reason=None)
    # Whatever it has: what is stored is not to be replaced by less.
    return replace(known, partition=partition, sha256=digest, missing=(), stored_as=())


def _found(store: Store, name: str) -> tuple[str, str] | None:
    """Return the id of the conversation in a raw object and the hash of its bytes; None if it is none."""
    try:
        body = store.read(name)
        return SentConversation.from_json(read_json(body)).conversation_id, sha256(body).hexdigest()
    except (FileNotFoundError, ValueError):
        return None
