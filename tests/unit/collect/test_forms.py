"""What is switched on later has all that was stored before, made of what is stored, whatever happens meanwhile."""

from __future__ import annotations

import json
import logging
import traceback
from typing import TYPE_CHECKING, Any

import collecting
import pytest
from collecting import Crash, InterruptedStore, collect

from airflow_provider_tavus.collect import forms, storing
from airflow_provider_tavus.collect.copies import NoCopies
from airflow_provider_tavus.collect.failures import Failures
from airflow_provider_tavus.collect.forget import forget
from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox, events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NOW = 1_800_000_000.0
DAY = 86_400.0
EVERYTHING: dict[str, Any] = {"formats": collecting.ALL_FORMATS, "renderings": ("vtt", "txt")}


class Copies(NoCopies):
    """Remembers what it was given."""

    def __init__(self, name: str = "sql:somewhere") -> None:
        self.names = (name,)
        self.taken: list[str] = []
        self.forgotten: list[str] = []

    def store(self, bodies: Sequence[bytes]) -> None:
        self.taken += [json.loads(body)["conversation_id"] for body in bodies]

    def forget(self, conversation_ids: Sequence[str]) -> None:
        self.forgotten += [each for each in conversation_ids if each in self.taken]


@pytest.fixture
def box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
        yield box


@pytest.fixture
def ids(box: TavusBox) -> list[str]:
    """Conversations of three days that are over, the newest last."""
    return [box.add(Script.finished(), created_at=NOW - 3 * DAY + each * DAY / 5) for each in range(12)]


@pytest.fixture
def root(box: TavusBox, ids: list[str], tmp_path: Path) -> Path:
    """Where they are stored as JSON Lines alone."""
    collect(box, tmp_path / "destination")
    box.advance(60)
    box.forget_requests()
    return tmp_path / "destination"


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What keeps runs from being complete."""
    noticed: list[Exception] = []
    note = Failures.note

    def notice(failures: Failures, error: Exception) -> None:
        noticed.append(error)
        note(failures, error)

    monkeypatch.setattr(Failures, "note", notice)
    return noticed


def ledger(root: Path) -> list[str]:
    return sorted(file.name for file in (root / "_ledger").iterdir())


@pytest.mark.parametrize("much", [True, False])
def test_all_forms_are_those_of_a_destination_that_had_them_from_the_start(
    box: TavusBox, ids: list[str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, much: bool
) -> None:
    monkeypatch.setattr(storing, "MUCH_TO_STORE", 0 if much else 500)
    copies = Copies()

    certificate = collect(box, LocalStore(root), copies=copies, **EVERYTHING)

    assert box.count() == 1, "nothing but the list was asked for"
    assert (certificate.collected, certificate.already_had) == (0, len(ids))
    assert certificate.partitions == sorted({file.parent.name[len("created=") :] for file in root.glob("raw/*/*")})
    assert sorted(copies.taken) == sorted(ids)
    collect(box, tmp_path / "from the start", **EVERYTHING)
    assert collecting.objects(root) == collecting.objects(tmp_path / "from the start")


def test_it_is_made_once(box: TavusBox, ids: list[str], root: Path) -> None:
    collect(box, root, copies=Copies(), **EVERYTHING)
    segments = ledger(root)
    copies = Copies()

    certificate = collect(box, root, copies=copies, **EVERYTHING)

    assert not certificate.partitions
    assert not copies.taken
    assert ledger(root) == segments


def test_another_database_gets_all_of_it_too(box: TavusBox, ids: list[str], root: Path) -> None:
    collect(box, root, copies=Copies())
    another = Copies("sql:elsewhere")

    collect(box, root, copies=another)

    assert sorted(another.taken) == sorted(ids)


def test_a_ledger_that_does_not_tell_is_taken_for_nothing_but_raw_objects(
    box: TavusBox, ids: list[str], root: Path
) -> None:
    for segment in (root / "_ledger").iterdir():
        segment.write_text(segment.read_text().replace(',"stored_as":["jsonl"]', ""))
    before = collecting.objects(root)
    for table in root.glob("turns/*/*"):
        table.unlink()

    collect(box, root)

    assert collecting.objects(root) == before


def test_what_changed_while_a_form_was_switched_off_is_made_anew(box: TavusBox, root: Path, tmp_path: Path) -> None:
    collect(box, root, **EVERYTHING)
    box.add(Script.finished(further_events=(events.recording_ready(after=1.5 * DAY),)), created_at=NOW - 2.5 * DAY)
    box.add(Script.finished(), created_at=NOW - 2.5 * DAY)
    collect(box, root, sweep_interval=0.0)
    box.advance(2 * DAY)
    collect(box, root, sweep_interval=0.0)

    collect(box, root, **EVERYTHING)

    collect(box, tmp_path / "from the start", **EVERYTHING)
    assert collecting.objects(root) == collecting.objects(tmp_path / "from the start")


def test_rows_of_raw_objects_that_are_gone_stay(box: TavusBox, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed beside this Airflow")
    gone = min(root.glob("raw/*/*.json"))
    gone.unlink()
    before = collecting.objects(root)

    with caplog.at_level(logging.INFO):
        certificate = collect(box, root, formats=("jsonl", "parquet"))

    date = gone.parent.name
    assert len(certificate.partitions) == len(list(root.glob("turns/*/*.parquet"))) > 0
    assert not list(root.glob(f"turns/{date}/*.parquet"))
    assert {name: content for name, content in collecting.objects(root).items() if name in before} == before
    assert f"{date[len('created=') :]} is not stored as parquet as well: 1 of its raw objects" in caplog.text


def test_one_that_cannot_be_brought_into_a_form_fails_alone(box: TavusBox, ids: list[str], root: Path) -> None:
    (spoilt,) = root.glob(f"raw/*/{ids[3]}.json")
    content = spoilt.read_bytes()
    spoilt.write_bytes(b"{}")

    certificate = collect(box, root, renderings=("txt",))

    assert certificate.failed == {"ValueError": 1}
    assert {file.stem for file in root.glob("renderings/*/*.txt")} == {*ids} - {ids[3]}
    spoilt.write_bytes(content)
    assert not collect(box, root, renderings=("txt",)).failed
    assert {file.stem for file in root.glob("renderings/*/*.txt")} == {*ids}


@pytest.mark.parametrize("content", [b'{"said": "my canary', b"{}", None], ids=["cut off", "no id", "copy of another"])
@pytest.mark.parametrize("form", ["parquet", "database"])
def test_a_date_with_a_spoilt_object_keeps_no_other_one_from_its_forms(
    box: TavusBox,
    ids: list[str],
    root: Path,
    form: str,
    content: bytes | None,
    failures: list[Exception],
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed beside this Airflow")
    formats = ("jsonl", "parquet") if form == "parquet" else ("jsonl",)
    copies = Copies() if form == "database" else None
    (spoilt,) = root.glob(f"raw/*/{ids[3]}.json")
    (other,) = root.glob(f"raw/*/{ids[4]}.json")
    date, whole = spoilt.parent, spoilt.read_bytes()
    spoilt.write_bytes(other.read_bytes() if content is None else content)

    def dates_that_have_it() -> set[str]:
        if copies is not None:
            return {file.parent.name for each in copies.taken for file in root.glob(f"raw/*/{each}.json")}
        return {file.parent.name for file in root.glob("turns/*/*.parquet")}

    certificate = collect(box, root, formats=formats, copies=copies)

    assert (certificate.complete, certificate.spoilt_partitions) == (False, [date.name.removeprefix("created=")])
    assert dates_that_have_it() == {each.name for each in root.glob("raw/*")} - {date.name}
    (failure,) = failures
    assert str(failure).startswith(f"{spoilt.relative_to(root)} at the destination")
    assert "my canary" not in "".join(traceback.format_exception(failure))
    assert failure.__context__ is None
    spoilt.write_bytes(whole)
    assert collect(box, root, formats=formats, copies=copies).partitions == certificate.spoilt_partitions
    assert dates_that_have_it() == {each.name for each in root.glob("raw/*")}
    assert copies is None or sorted(copies.taken) == sorted(ids)


def test_what_was_forgotten_beside_a_run_that_finds_a_spoilt_object_leaves_the_database(
    box: TavusBox, ids: list[str], root: Path
) -> None:
    (spoilt,) = root.glob(f"raw/*/{ids[0]}.json")
    spoilt.write_bytes(b"{")
    which = box.add(Script.finished(), created_at=box.clock.now() - DAY)
    database = Copies()

    def meanwhile() -> None:
        forget(which, store=LocalStore(root), clock=box.clock.now, copies=database)

    # Of the new one the raw object alone is still to be stored.
    certificate = collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=2), copies=database)

    assert certificate.spoilt_partitions == [spoilt.parent.name.removeprefix("created=")]
    assert which in database.taken
    assert which in database.forgotten
    assert not list(root.glob(f"r*/*/{which}*"))


def test_a_crash_at_any_moment_leaves_it_to_the_next_run(
    box: TavusBox, ids: list[str], root: Path, tmp_path: Path
) -> None:
    collect(box, tmp_path / "from the start", **EVERYTHING)
    crash_at = 0
    for crash_at in range(1, 200):
        try:
            collect(box, InterruptedStore(root, crash_at=crash_at), copies=Copies(f"sql:{crash_at}"), **EVERYTHING)
        except Crash:
            continue
        break
    assert 10 < crash_at < 199
    copies = Copies()

    collect(box, root, copies=copies, **EVERYTHING)

    assert sorted(copies.taken) == sorted(ids)
    assert collecting.objects(root) == collecting.objects(tmp_path / "from the start")


@pytest.mark.parametrize("after", [1, 2], ids=["after it was read for a rendering", "after it was read for a copy"])
def test_what_another_run_stores_meanwhile_is_what_is_made_of(box: TavusBox, tmp_path: Path, after: int) -> None:
    root = tmp_path / "destination"
    box.add(Script.finished(transcript_again=DAY), created_at=NOW - DAY / 2)
    collect(box, root)
    copies: list[bytes] = []
    reads: list[str] = []

    class Both(NoCopies):
        names = ("sql:both",)

        def store(self, bodies: Sequence[bytes]) -> None:
            copies.extend(bodies)

    class InterruptedRead(InterruptedStore):
        def read(self, name: str) -> bytes:
            content = super().read(name)
            reads.append(name)
            if len(reads) == after:
                box.advance(DAY)
                collect(box, root, renderings=("txt",), copies=Both())
            return content

    collect(box, InterruptedRead(root), renderings=("txt",), copies=Both())

    assert {name.split("/")[0] for name in reads} == {"raw"}
    (raw,) = root.glob("raw/*/*.json")
    assert copies[-1] == raw.read_bytes()
    collect(box, tmp_path / "from the start", renderings=("txt",))
    assert collecting.objects(root) == collecting.objects(tmp_path / "from the start")


def test_a_shard_does_not_mind_what_others_store(
    box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "destination"
    for each in range(12):
        box.add(Script.finished(), created_at=NOW - DAY + each)
    collect(box, root, shard=Shard(0, 2))
    monkeypatch.setattr(forms, "TRIES", 1)

    def the_other_shard() -> None:
        collect(box, root, shard=Shard(1, 2))

    store = InterruptedStore(root, meanwhile=the_other_shard, meanwhile_at=1)
    certificate = collect(box, store, shard=Shard(0, 2), renderings=("txt",))

    assert certificate.partitions, "it was made at once"
    rendered = {file.stem for file in root.glob("renderings/*/*.txt")}
    assert rendered == {file.stem for file in root.glob("raw/*/*.json") if Shard(0, 2).has_name(file.stem)}
