"""How objects come to their places, in a folder and where there are none."""

from __future__ import annotations

import errno
import gc
import os
import tempfile
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.store import ObjectStore, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["local", "elsewhere"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield LocalStore(tmp_path / "destination")
        return
    memory = MemoryFileSystem()
    yield ObjectStore(memory, "/tavus-store")
    if memory.exists("/tavus-store"):
        memory.rm("/tavus-store", recursive=True)


def test_an_object_is_there_when_it_was_written_to_its_end(store: Store) -> None:
    with store.writing("turns/some.jsonl") as file:
        file.write(b"first ")
        file.flush()
        assert not store.has("turns/some.jsonl")
        file.write(b"second")

    assert store.read("turns/some.jsonl") == b"first second"


def test_what_was_broken_off_leaves_the_object_as_it_was(store: Store) -> None:
    store.write("turns/some.jsonl", b"before")

    def break_off() -> None:
        with store.writing("turns/some.jsonl") as file:
            file.write(b"half of it")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert store.read("turns/some.jsonl") == b"before"


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """
    Objects that are written and read in blocks, as in S3.

    :param breaks_at: the upload of which block, counted from 1, meets a fault that is over a moment later.
    """

    cachable = False

    def __init__(self, *, breaks_at: int | None = None) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.breaks_at = breaks_at
        self.blocks_sent = 0
        self.bytes_taken_up = 0
        self.left_open: list[BlockwiseFile] = []

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BlockwiseFile:
        return BlockwiseFile(self, path, mode, block_size=BLOCK)


class BlockwiseFile(AbstractBufferedFile):  # type: ignore[misc]
    def _initiate_upload(self) -> None:
        self.arrived = b""
        self.fs.left_open.append(self)

    def _upload_chunk(self, final: bool = False) -> None:
        self.fs.blocks_sent += 1
        if self.fs.blocks_sent == self.fs.breaks_at:
            raise ConnectionError
        self.arrived += self.buffer.getvalue()
        if final:
            self.fs.left_open.remove(self)
            self.fs.store[self.path] = MemoryFile(self.fs, self.path, self.arrived)

    def discard(self) -> None:
        self.fs.left_open.remove(self)
        super().discard()

    def _fetch_range(self, start: int, end: int) -> bytes:
        part: bytes = self.fs.cat_file(self.path, start, end)
        return part

    def read(self, length: int = -1) -> bytes:
        part: bytes = super().read(length)
        self.fs.bytes_taken_up += len(part)
        return part


BLOCK = 1000


def put(store: Store, content: bytes) -> None:
    with store.writing("turns/some.jsonl") as file:
        file.write(content)


@pytest.mark.parametrize("breaks_at", [1, 2, 3])
def test_what_breaks_off_on_its_way_to_a_bucket_leaves_the_object_as_it_was(breaks_at: int) -> None:
    bucket = Bucket()
    store = ObjectStore(bucket, "/tavus-store")
    put(store, b"before")
    bucket.breaks_at = bucket.blocks_sent + breaks_at

    with pytest.raises(ConnectionError):
        put(store, bytes(100_000))
    gc.collect()

    assert store.read("turns/some.jsonl") == b"before"
    assert bucket.left_open == []
    put(store, b"after")
    assert store.read("turns/some.jsonl") == b"after"


def test_a_bucket_is_read_line_by_line_without_taking_anything_up_twice() -> None:
    bucket = Bucket()
    store = ObjectStore(bucket, "/tavus-store")
    lines = [b"%d\n" % number for number in range(10_000)]
    put(store, b"".join(lines))

    with store.lines("turns/some.jsonl") as read:
        assert list(read) == lines
    assert bucket.bytes_taken_up == sum(map(len, lines))


def test_what_is_on_its_way_elsewhere_has_no_name_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that is killed removes no file.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with ObjectStore(MemoryFileSystem(), "/tavus-store").writing("turns/some.jsonl") as file:
        file.write(b"what was said")
        file.flush()
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_vanishes_while_its_folder_is_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)
    for name in ("c1", "c2", "c3"):
        store.write(f"raw/{name}.json", b"{}")
    listed = os.scandir

    def and_then_one_vanishes(path: str) -> Any:
        with listed(path) as found:
            everything = list(found)
        store.delete("raw/c2.json")
        return nullcontext(everything)

    monkeypatch.setattr(os, "scandir", and_then_one_vanishes)

    assert set(store.versions("raw")) == {"c1.json", "c3.json"}


def test_what_could_not_be_written_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    write, written = os.write, list[int]()

    def write_until_the_disk_is_full(descriptor: int, content: memoryview) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(write(descriptor, content[:1]))
        return written[0]

    monkeypatch.setattr(os, "write", write_until_the_disk_is_full)
    with pytest.raises(OSError, match="space"):
        store.write("raw/c1.json", b"{}")

    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_folder_that_a_network_drive_puts_among_unfinished_files_stays(tmp_path: Path) -> None:
    folder, unfinished = tmp_path / "_tmp" / "@eaDir", tmp_path / "_tmp" / "unfinished"
    folder.mkdir(parents=True)
    unfinished.touch()
    for each in (folder, unfinished):
        os.utime(each, (1, 1))

    LocalStore(tmp_path).discard_unfinished()

    assert folder.is_dir()
    assert not unfinished.exists()
