"""
Keeps rows aside until their partition is finished, in private temporary files.

The files have no name, so that nothing of them is left behind, whatever happens.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections import Counter
from itertools import accumulate
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FILES = 64
BUFFER = 256 * 1024
"""Bytes."""


class Spool:
    """
    Rows by partition and conversation. Used by one thread at a time.

    A partition always goes to the same file, which goes when none of its partitions is waiting any more.
    """

    def __init__(self) -> None:
        self._files: dict[int, IO[bytes]] = {}
        self._ends: Counter[int] = Counter()
        self._places: dict[str, dict[str, tuple[int, tuple[int, ...]]]] = {}

    def close(self) -> None:
        """Let go of everything."""
        for file in self._files.values():
            file.close()

    def put(self, partition: str, name: str, rows: Sequence[bytes]) -> None:
        """Keep the rows of a conversation, those of each table in one piece, instead of earlier ones."""
        number = self._number(partition)
        file, place = self._file(number), self._ends[number]
        for each in rows:
            file.write(each)
            self._ends[number] += len(each)
        self._places.setdefault(partition, {})[name] = (place, tuple(map(len, rows)))

    def get(self, partition: str, names: Sequence[str]) -> dict[str, Sequence[bytes]]:
        """Return the rows of those conversations of which any are kept, as they were put."""
        places = self._places.get(partition, {})
        file = self._file(self._number(partition))
        file.flush()
        return {name: _cut(file.fileno(), *places[name]) for name in names if name in places}

    def drop(self, partition: str) -> None:
        """Let go of all rows of a partition."""
        self._places.pop(partition, None)
        number = self._number(partition)
        if number in self._files and number not in map(self._number, self._places):
            self._files.pop(number).close()
            del self._ends[number]

    def _file(self, number: int) -> IO[bytes]:
        if number not in self._files:
            self._files[number] = tempfile.TemporaryFile(prefix="tavus-", buffering=BUFFER)  # noqa: SIM115
        return self._files[number]

    @staticmethod
    def _number(partition: str) -> int:
        return zlib.crc32(partition.encode()) % FILES


def _cut(descriptor: int, place: int, lengths: tuple[int, ...]) -> list[bytes]:
    rows = os.pread(descriptor, sum(lengths), place)
    return [rows[end - length : end] for length, end in zip(lengths, accumulate(lengths), strict=True)]
