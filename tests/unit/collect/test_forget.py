"""What is forgotten is gone, wherever it was, whenever the process died, and whoever else was at work."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import collecting
import pytest
from collecting import Crash, InterruptedStore, collect

from airflow_provider_tavus.collect.entry import Entry
from airflow_provider_tavus.collect.forget import Forgotten, forget
from airflow_provider_tavus.collect.index import Index
from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.writer import SpoiltObjectError
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox, Turn
from airflow_provider_tavus.testing.bodies import read_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_800_000_000.0
DAY = 86_400.0
SAID = "what somebody said 5e1f"


@pytest.fixture
def box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
        yield box


@pytest.fixture
def which(box: TavusBox) -> str:
    """The conversation to be forgotten; there are two others on the same date."""
    for number in range(2):
        box.add(Script.finished(), created_at=NOW - DAY - number)
    return box.add(Script.finished(turns=(Turn("user", SAID, at=1.0),)), created_at=NOW - DAY)


def is_gone(root: Path, which: str) -> bool:
    """Tell whether its words are nowhere, and its id nowhere but in what runs say of themselves."""
    words = collecting.objects(root, of_runs=True).values()
    data = collecting.objects(root)
    return not any(SAID.encode() in content for content in words) and not any(
        which in name or which.encode() in content for name, content in data.items()
    )


def forget_it(box: TavusBox, root: Path, which: str, *, crash_at: int | None = None) -> Forgotten:
    return forget(which, store=InterruptedStore(root, crash_at=crash_at), clock=box.clock.now)


def test_nothing_is_left_but_its_id_and_the_record_and_it_does_not_come_back(
    box: TavusBox, tmp_path: Path, which: str
) -> None:
    collect(box, tmp_path, renderings=("vtt", "md"))
    assert not is_gone(tmp_path, which)

    forgotten = forget_it(box, tmp_path, which)

    assert is_gone(tmp_path, which)
    assert {name.rsplit(".", 1)[-1] for name in forgotten.removed} == {"json", "vtt", "md"}
    assert len(forgotten.rewritten) == 3
    (record,) = tmp_path.glob("_runs/*forgotten.json")
    assert json.loads(record.read_text()) == forgotten.as_plain()
    for _ in range(2):
        box.advance(2 * DAY)
        certificate = collect(box, tmp_path, renderings=("vtt", "md"))
        assert (certificate.forgotten, certificate.collected) == (1, 0)
    assert is_gone(tmp_path, which)
    assert len(collecting.raw(tmp_path)) == 2
    collecting.tables_are_those_of_the_raw_objects(tmp_path)


def test_what_was_never_collected_is_not_collected_later(box: TavusBox, tmp_path: Path, which: str) -> None:
    assert forget_it(box, tmp_path, which).removed == []
    assert collect(box, tmp_path).forgotten == 1
    assert is_gone(tmp_path, which)


def test_what_is_forgotten_before_anything_was_collected_does_not_settle_the_number_of_shards(
    box: TavusBox, tmp_path: Path, which: str
) -> None:
    forget_it(box, tmp_path, which)
    assert sum(collect(box, tmp_path, shard=Shard(index, 3)).forgotten for index in range(3)) == 1
    assert is_gone(tmp_path, which)


def test_the_table_file_of_its_shard_is_written_anew(box: TavusBox, tmp_path: Path, which: str) -> None:
    for index in range(3):
        collect(box, tmp_path, shard=Shard(index, 3))
    forget_it(box, tmp_path, which)
    assert is_gone(tmp_path, which)
    assert len(list(collecting.rows(tmp_path, "conversations"))) == 2


def test_files_of_others_beside_the_tables_are_passed_over(box: TavusBox, tmp_path: Path, which: str) -> None:
    collect(box, tmp_path)
    folders = list(tmp_path.glob("turns/*"))
    for name in (".DS_Store", "notes", "part-00000.csv"):
        (folders[0] / name).write_bytes(b"of others")

    forgotten = forget_it(box, tmp_path, which)

    assert is_gone(tmp_path, which)
    assert {name.rsplit("/", 1)[-1] for name in forgotten.rewritten} == {"part-00000.jsonl"}
    assert (folders[0] / ".DS_Store").read_bytes() == b"of others"


def test_it_can_be_done_again_after_a_crash_anywhere(box: TavusBox, tmp_path: Path, which: str) -> None:
    collect(box, tmp_path / "whole")
    whole = InterruptedStore(tmp_path / "whole")
    forget(which, store=whole, clock=box.clock.now)
    for crash_at in range(1, whole.changes + 1):
        root = tmp_path / str(crash_at)
        collect(box, root)
        with pytest.raises(Crash):
            forget_it(box, root, which, crash_at=crash_at)
        forget_it(box, root, which)
        assert is_gone(root, which)
        collecting.tables_are_those_of_the_raw_objects(root)


def test_a_run_that_goes_on_meanwhile_does_not_keep_it(box: TavusBox, tmp_path: Path, which: str) -> None:
    whole = InterruptedStore(tmp_path / "whole")
    collect(box, whole)
    # The last three changes are those of its mark and of the certificate.
    for at in range(1, whole.changes - 2):
        root = tmp_path / str(at)

        def meanwhile(root: Path = root) -> None:
            forget_it(box, root, which)

        collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=at))
        assert is_gone(root, which), at
        collecting.tables_are_those_of_the_raw_objects(root)


def test_a_run_that_another_one_and_a_forget_overlap_does_not_read_it_again(
    box: TavusBox, tmp_path: Path, which: str
) -> None:
    whole = InterruptedStore(tmp_path / "whole")
    collect(box, whole)
    body: dict[str, Any] = read_body(box.conversation(which), box.clock.now(), verbose=True)
    for at in range(1, whole.changes - 2):
        root = tmp_path / str(at)
        box.put_raw(which, body)

        def meanwhile(root: Path = root) -> None:
            # Another run stores something else, so the one that goes on would read it once more.
            box.put_raw(which, body | {"memory": "late"})
            box.advance(1.0)
            collect(box, root)
            forget_it(box, root, which)

        certificate = collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=at))

        assert is_gone(root, which), at
        assert certificate.states == {"collected": 2, "forgotten": 1}
        box.advance(600.0)
        assert collect(box, root).forgotten == 1
        assert is_gone(root, which), at


def test_what_was_forgotten_is_neither_due_nor_noted_as_anything_else() -> None:
    index = Index(Shard(), now=NOW)
    index.know([Entry(conversation_id="c1", state="forgotten", at=NOW)])

    index.doubt(["c1"])
    assert index.take_due(10) == []
    index.settle([(Entry(conversation_id="c1", state="collected", at=NOW + 1, sha256="0"), "collected")])
    assert index.take_entries_to_save(10) == []
    assert index.counts().states == {"forgotten": 1}
    index.close()


def test_a_tombstone_is_told_to_be_off_the_list_when_it_is(box: TavusBox, tmp_path: Path, which: str) -> None:
    collect(box, tmp_path)
    forget_it(box, tmp_path, which)
    box.remove(which)
    collect(box, tmp_path)

    last = max((tmp_path / "_ledger").iterdir(), key=lambda segment: segment.stat().st_mtime_ns)
    (line,) = [json.loads(line) for line in last.read_text().splitlines() if which in line]
    assert (line["state"], line["listed"]) == ("forgotten", False)


@pytest.mark.parametrize("days", [0, 1, 5])
def test_what_a_run_stored_before_it_crashed_is_removed_by_the_next_one(
    box: TavusBox, tmp_path: Path, which: str, days: int
) -> None:
    def meanwhile() -> None:
        forget_it(box, tmp_path, which)

    with pytest.raises(Crash):
        collect(box, InterruptedStore(tmp_path, meanwhile=meanwhile, meanwhile_at=1, crash_at=8))
    assert not is_gone(tmp_path, which)
    box.advance(days * DAY + 60.0)

    collect(box, tmp_path)

    assert is_gone(tmp_path, which)
    collecting.tables_are_those_of_the_raw_objects(tmp_path)


def test_what_a_run_was_removing_when_it_crashed_is_removed_by_the_next_one(
    box: TavusBox, tmp_path: Path, which: str
) -> None:
    def run(root: Path, *, crash_at: int | None = None) -> InterruptedStore:
        def meanwhile() -> None:
            forget_it(box, root, which)

        store = InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=1, crash_at=crash_at)
        with suppress(Crash):
            collect(box, store)
        return store

    changes = run(tmp_path / "whole").changes
    # From the first raw object on: what a crash leaves half written is there for a day.
    for crash_at in range(5, changes + 1):
        root = tmp_path / str(crash_at)
        run(root, crash_at=crash_at)

        collect(box, root)

        assert is_gone(root, which), crash_at
        collecting.tables_are_those_of_the_raw_objects(root)


@pytest.mark.parametrize("days", [0, 1, 5])
def test_what_a_spoilt_object_keeps_in_the_tables_goes_as_soon_as_that_was_mended(
    box: TavusBox, tmp_path: Path, which: str, days: int
) -> None:
    collect(box, tmp_path)
    (folder,) = tmp_path.glob("raw/*")
    spoilt = folder / "index.json"
    spoilt.write_text("{}")
    with pytest.raises(SpoiltObjectError):
        forget_it(box, tmp_path, which)
    for _ in range(days + 1):
        new = box.add(Script.finished(), created_at=box.clock.now() - 9 * DAY)
        certificate = collect(box, tmp_path)
        assert (certificate.collected, certificate.complete) == (1, False)
        assert certificate.spoilt_partitions == [folder.name.removeprefix("created=")]
        assert list(tmp_path.glob(f"raw/*/{new}.json"))
        box.advance(DAY + 60.0)
    assert not is_gone(tmp_path, which)
    spoilt.unlink()

    assert collect(box, tmp_path).complete

    assert is_gone(tmp_path, which)
    collecting.tables_are_those_of_the_raw_objects(tmp_path)


def test_a_spoilt_object_beside_what_was_forgotten_keeps_no_other_date_from_being_collected(
    box: TavusBox, tmp_path: Path, which: str
) -> None:
    # Each object takes two changes: the run dies once all raw objects are there, the forgetting once its tombstone is.
    with pytest.raises(Crash):
        collect(box, InterruptedStore(tmp_path, crash_at=9))
    assert which in collecting.raw(tmp_path)
    with pytest.raises(Crash):
        forget_it(box, tmp_path, which, crash_at=3)
    (folder,) = tmp_path.glob("raw/*")
    spoilt = folder / "index.json"
    spoilt.write_text("{}")
    new = box.add(Script.finished(), created_at=NOW - 5 * DAY)

    certificate = collect(box, tmp_path)

    assert certificate.spoilt_partitions == [folder.name.removeprefix("created=")]
    assert {row["conversation_id"] for _, row in collecting.rows(tmp_path, "conversations")} == {new}
    assert not (folder / f"{which}.json").exists()
    spoilt.unlink()
    assert collect(box, tmp_path).complete
    assert is_gone(tmp_path, which)
    collecting.tables_are_those_of_the_raw_objects(tmp_path)


class CountingStore(LocalStore):
    """A folder that counts how often it is asked whether there is an object of some name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked = 0

    def has(self, name: str) -> bool:
        self.asked += 1
        return super().has(name)


@pytest.mark.parametrize("others", [0, 60], ids=["a list of no order", "a list in order"])
def test_the_destination_is_not_asked_for_the_forgotten_for_ever(
    box: TavusBox, tmp_path: Path, which: str, others: int
) -> None:
    for number in range(others):
        box.add(Script.finished(), created_at=NOW - 2 * DAY - number)
    collect(box, tmp_path)
    forget_it(box, tmp_path, which)
    asked, segments = [], []
    for _ in range(10):
        box.advance(DAY / 2 - 60.0)
        store = CountingStore(tmp_path)
        collect(box, store)
        asked.append(store.asked)
        segments.append(len(list((tmp_path / "_ledger").iterdir())))

    # Where it may be: the object, and four renderings of it.
    assert asked[0] == asked[1] == 5
    assert sum(asked) <= 6 * 5
    assert asked[-3:] == [0, 0, 0]
    assert others or segments[-1] == segments[-4]
