"""
Where things are at a destination.

::

    raw/created=2026-11-24/c123456.json         what Tavus sent, one object for each conversation
    renderings/created=2026-11-24/c123456.vtt   subtitles and texts made from it, where asked for
    conversations/created=2026-11-24/…          the tables, made from the raw objects of the same date
    turns/created=2026-11-24/…
    events/created=2026-11-24/…
    _ledger/…                                   what is known of each conversation
    _runs/…                                     a certificate for each run
    _writing/…                                  the dates that a run writes to which has not come to its end
    _untold/…                                   dates whose tables have changed, and nobody was told of it

Names that begin with an underscore are passed over by what reads whole folders of data.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass

from airflow_provider_tavus.collect.entry import as_time

RAW = "raw"
RENDERINGS = "renderings"
LEDGER = "_ledger"
RUNS = "_runs"
WRITING = "_writing"
UNTOLD = "_untold"
UNKNOWN_DATE = "unknown"
"""The partition of conversations whose date of creation is not told."""

KEPT_IN_NAMES = frozenset(string.ascii_lowercase + string.digits + "-_")
LONGEST_NAME = 200
"""Characters; file systems allow 255."""


@dataclass(frozen=True, slots=True)
class Shard:
    """
    A part of all conversations, by a hash of their ids, so that several runs can share the work.

    :param index: which part, from 0 on.
    :param count: how many parts there are.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a part that does not exist."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard {self.index} of {self.count} does not exist: count the shards from 0")

    @classmethod
    def of(cls, conversation_id: str, count: int) -> Shard:
        """Return the part to which a conversation belongs."""
        return next(shard for shard in (cls(index, count) for index in range(count)) if shard.has(conversation_id))

    def has(self, conversation_id: str) -> bool:
        """Tell whether a conversation belongs to this part."""
        return self.count == 1 or self.has_name(safe_name(conversation_id))

    def has_name(self, name: str) -> bool:
        """Tell whether the conversation of a :func:`safe_name` belongs to this part."""
        if self.count == 1:
            return True
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index

    def __str__(self) -> str:
        """Return the name by which the ledger knows it."""
        return f"{self.index}/{self.count}"


def partition_of(created_at: float | None) -> str:
    """Return the partition of a conversation that was created at a moment, in epoch seconds: its date in UTC."""
    return UNKNOWN_DATE if created_at is None else as_time(created_at)[: len("2026-11-24")]


def raw_folder(partition: str) -> str:
    """Return the folder of a partition's raw objects."""
    return f"{RAW}/created={partition}"


def raw_object(partition: str, conversation_id: str) -> str:
    """Return the name of a conversation's raw object."""
    return f"{raw_folder(partition)}/{safe_name(conversation_id)}.json"


def rendering_object(partition: str, conversation_id: str, ending: str) -> str:
    """Return the name of a rendering of a conversation, such as its subtitles, by the ending of its file."""
    return f"{RENDERINGS}/created={partition}/{safe_name(conversation_id)}.{ending}"


def table_object(table: str, partition: str, shard: Shard, ending: str) -> str:
    """Return the name of the file of a table that holds a partition's rows; each shard has its own."""
    return f"{table_folder(table, partition)}/part-{shard.index:05d}.{ending}"


def table_folder(table: str, partition: str) -> str:
    """Return the folder of a partition's rows of a table."""
    return f"{table}/created={partition}"


def safe_name(conversation_id: str) -> str:
    """
    Return a name for an id that is one on every file system and in every object store.

    Ids have no documented form. What is neither a small letter of ASCII, a digit, ``-`` nor ``_`` is written as
    the ``%XX`` of its UTF-8 bytes: capitals as well, because some file systems take them for small letters.
    """
    name = "".join(
        character
        if character in KEPT_IN_NAMES
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in conversation_id
    )
    if len(name) <= LONGEST_NAME:
        return name
    return f"%sha256-{hashlib.sha256(conversation_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


def is_safe_name(name: str) -> bool:
    """Tell whether :func:`safe_name` can have made this name: what others put beside the objects mostly has another."""
    return len(name) <= LONGEST_NAME and _SAFE_NAME.fullmatch(name) is not None


_SAFE_NAME = re.compile(r"([a-z0-9_-]|%[0-9A-F]{2})+|%sha256-[0-9a-f]{64}")
