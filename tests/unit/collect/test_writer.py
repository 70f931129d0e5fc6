"""What the tables of a date are made of, where others have put something beside the raw objects."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tavus.collect.layout import Shard, is_safe_name, safe_name
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.writer import Collected, SpoiltObjectError, Writer

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


@pytest.mark.parametrize("content", [b"", b"[]", f'["{CANARY}'.encode(), f'{{"said": "{CANARY}"}}'.encode()])
def test_a_raw_object_that_is_no_conversation_is_named_and_the_tables_stay_as_they_are(
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


@pytest.mark.parametrize("conversation_id", ["c1", "C1/ü \ud800", "_-%", "x" * 200, "x" * 201])
def test_every_safe_name_is_known_for_one(conversation_id: str) -> None:
    assert is_safe_name(safe_name(conversation_id))
