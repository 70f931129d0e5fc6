"""How objects come to their places, in a folder and where there are none."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

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
