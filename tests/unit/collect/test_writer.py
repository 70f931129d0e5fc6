"""What the tables of a date are made of, where others have put something beside the raw objects."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.collect.layout import Shard, is_safe_name, safe_name
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.writer import Collected, SpoiltObjectError, Writer
from airflow_provider_tavus.collect.writer_process import WriterProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATE = "2026-11-24"
CANARY = "my canary sang at dawn"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def writer(store: LocalStore) -> Iterator[Writer]:
    writer = Writer(store, shard=Shard(), formats=("jsonl",))
    yield writer
    writer.close()


def take(writer: Writer, conversation_id: str) -> None:
    writer.take([Collected(conversation_id, DATE, json.dumps({"conversation_id": conversation_id}).encode())])


def ids_in_the_table(store: LocalStore) -> list[str]:
    lines = store.read(f"conversations/created={DATE}/part-00000.jsonl").splitlines()
    return [json.loads(line)["conversation_id"] for line in lines]


@pytest.mark.parametrize("name", ["._c1.json", ".json", "c1 (1).json", "C1.json", "c1.json.swp", "%zz.json"])
def test_what_has_a_name_that_no_conversation_has_is_passed_over(store: LocalStore, writer: Writer, name: str) -> None:
    store.write(f"raw/created={DATE}/{name}", b"\0\5\26\7")

    take(writer, "c1")
    writer.finish(DATE)
    writer.remove(DATE, "c2")

    assert ids_in_the_table(store) == ["c1"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        f'["{CANARY}'.encode(),
        f'{{"said": "{CANARY}"}}'.encode(),
        f'{{"conversation_id": "c1", "said": "{CANARY}"}}'.encode(),
    ],
    ids=["empty", "array", "cut off", "no conversation", "copy of another"],
)
def test_a_raw_object_that_is_not_the_conversation_of_its_name_is_named_and_the_tables_stay_as_they_are(
    store: LocalStore, writer: Writer, content: bytes
) -> None:
    take(writer, "c1")
    writer.finish(DATE)
    store.write(f"raw/created={DATE}/index.json", content)

    take(writer, "c2")
    with pytest.raises(SpoiltObjectError, match=rf"raw/created={DATE}/index\.json .* remove it") as raised:
        writer.finish(DATE)

    assert CANARY not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None
    assert ids_in_the_table(store) == ["c1"]
    store.delete(f"raw/created={DATE}/index.json")
    writer.finish(DATE)
    assert ids_in_the_table(store) == ["c1", "c2"]


def test_tables_that_cannot_be_made_leave_nothing_that_complains_later(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed beside this Airflow")
    told_too_late: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told_too_late.append)
    writer = Writer(store, shard=Shard(), formats=("jsonl", "parquet"))
    store.write(f"raw/created={DATE}/index.json", b"{}")

    with pytest.raises(SpoiltObjectError):
        writer.rebuild(DATE)
    gc.collect()

    assert not told_too_late
    assert not store.folders("turns")
    writer.close()


def test_what_prints_when_an_interpreter_starts_disturbs_no_process_that_stores(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = tmp_path / "prints"
    prints.mkdir()
    (prints / "sitecustomize.py").write_text("print('hello')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(prints), *sys.path]))

    process = WriterProcess(store, shard=Shard(), formats=("jsonl",))
    process.take([Collected("c1", DATE, b'{"conversation_id": "c1"}')])
    process.finish(DATE)
    process.close()

    assert ids_in_the_table(store) == ["c1"]


def test_a_process_that_dies_in_the_middle_of_an_answer_is_told_of(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen
    half_an_answer = pickle.dumps((None, "x" * 100))[:50]
    answers_by_half = f"import os, sys; os.write(int(sys.argv[1]), {half_an_answer!r}); sys.stdin.read(1)"

    def start_another(command: list[str], **arguments: Any) -> subprocess.Popen[bytes]:
        return start([command[0], "-c", answers_by_half, command[-1]], **arguments)

    monkeypatch.setattr(subprocess, "Popen", start_another)

    with pytest.raises(OSError, match="has died"):
        WriterProcess(store, shard=Shard(), formats=("jsonl",))


def test_a_process_that_dies_between_two_calls_is_told_of_once(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen
    started: list[subprocess.Popen[bytes]] = []

    def noticed(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", noticed)
    process = WriterProcess(store, shard=Shard(), formats=("jsonl",))
    started[0].kill()
    started[0].wait()

    with pytest.raises(OSError, match="has died"):
        process.finish(DATE)
    process.close()


@pytest.mark.parametrize("conversation_id", ["c1", "C1/ü \ud800", "_-%", "x" * 200, "x" * 201])
def test_every_safe_name_is_known_for_one(conversation_id: str) -> None:
    assert is_safe_name(safe_name(conversation_id))
