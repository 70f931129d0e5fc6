"""What a run left that died, or that could not agree with others, is put right by the next one."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import collecting
import pytest
import requests
from collecting import GRACE, Crash, InterruptedStore, collect

from airflow_provider_tavus.collect import ledger, stock
from airflow_provider_tavus.collect.forget import forget
from airflow_provider_tavus.collect.layout import WRITING, Shard
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.marks import DEAD_AFTER, RENEWED_AFTER
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_800_000_000.0
DAY = 86_400.0
HOUR = 3600.0


@pytest.fixture
def box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
        yield box


@pytest.fixture
def late(box: TavusBox) -> str:
    """A conversation whose transcript comes after its grace period, which is over."""
    which = box.add(Script.finished(seconds=60, transcript_delay=GRACE + 900))
    box.advance(60 + GRACE + 1)
    return which


def another_run(box: TavusBox, root: Path) -> Callable[[], None]:
    """Collect into the same folder when the transcript is there."""

    def collect_later() -> None:
        box.advance(1000)
        assert collect(box, root).collected == 1

    return collect_later


def has_its_transcript(root: Path, which: str) -> bool:
    collecting.tables_are_those_of_the_raw_objects(root)
    return "application.transcription_ready" in json.dumps(collecting.raw(root)[which])


def ids_in(root: Path, table: str) -> set[str]:
    return {row["conversation_id"] for _, row in collecting.rows(root, table)}


def marks(root: Path) -> list[str]:
    return [each.name for each in (root / WRITING).iterdir()]


def test_a_run_that_comes_to_its_end_leaves_no_mark(box: TavusBox, tmp_path: Path) -> None:
    box.add(Script.finished(), created_at=NOW - DAY)
    collect(box, tmp_path)
    assert not marks(tmp_path)


def test_an_older_body_over_a_newer_one_is_put_right_whenever_its_run_died(
    box: TavusBox, tmp_path: Path, late: str
) -> None:
    alone = InterruptedStore(tmp_path / "alone")
    collect(box, alone)
    moment = box.clock.now()
    for crash_at in range(2, alone.changes + 8):
        root = tmp_path / str(crash_at)
        with TavusBox.in_thread(clock=ManualClock(moment)) as again:
            which = again.add(Script.finished(seconds=60, transcript_delay=GRACE + 900), created_at=NOW)
            with suppress(Crash):
                meanwhile = another_run(again, root)
                collect(again, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=1, crash_at=crash_at))

            collect(again, root)

            assert has_its_transcript(root, which), crash_at
            again.advance(DEAD_AFTER)
            collect(again, root)
            assert not marks(root)


def test_an_older_body_is_put_right_that_was_stored_after_a_short_run_beside_it(tmp_path: Path) -> None:
    for crash_at in range(4, 20):
        root = tmp_path / str(crash_at)
        with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
            which = box.add(Script.finished(seconds=60, transcript_delay=HOUR))
            box.advance(60 + HOUR - 5)

            def meanwhile(box: TavusBox = box, root: Path = root) -> None:
                box.advance(20)
                assert collect(box, root).collected == 1

            with suppress(Crash):
                # It has written its mark, and nothing else.
                collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=3, crash_at=crash_at))

            collect(box, root)

            assert has_its_transcript(root, which), crash_at


def test_an_older_body_over_a_newer_one_is_put_right_when_it_could_not_be_read_again(
    box: TavusBox, tmp_path: Path, late: str
) -> None:
    def meanwhile() -> None:
        another_run(box, tmp_path)()
        box.trouble(route="get", status=500)

    certificate = collect(box, InterruptedStore(tmp_path, meanwhile=meanwhile, meanwhile_at=1))
    assert certificate.failed == {"ServerError": 1}
    assert not has_its_transcript(tmp_path, late)
    collect(box, tmp_path)
    assert marks(tmp_path), "it still could not be read"
    box.stop_troubles()
    box.advance(DEAD_AFTER)

    collect(box, tmp_path)

    assert has_its_transcript(tmp_path, late)
    assert not marks(tmp_path)


@pytest.mark.parametrize("list_times", [True, False])
@pytest.mark.parametrize("most_segments", [0, ledger.MOST_SEGMENTS])
def test_what_is_in_doubt_is_not_in_the_ledger_before_it_could_be_read_again(
    most_segments: int, list_times: bool, box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_SEGMENTS", most_segments)
    box.add(Script.finished(), created_at=NOW - DAY)
    collect(box, tmp_path)
    which = box.add(Script.finished(seconds=60, transcript_delay=GRACE + 900, list_times=list_times))
    box.advance(60 + GRACE + 1)
    with pytest.raises(Crash):
        collect(box, InterruptedStore(tmp_path, crash_at=5))
    assert which in collecting.raw(tmp_path)
    box.trouble(route="get", conversation_id=which, status=500)
    for _ in range(2):
        assert collect(box, tmp_path, sweep_interval=0.0).failed == {"ServerError": 1}
        assert not any(which in each.read_text() for each in _ledger(tmp_path))
    box.stop_troubles()
    box.advance(1000)

    certificate = collect(box, tmp_path, sweep_interval=0.0)

    assert (certificate.collected, certificate.already_had) == (1, 1)
    assert has_its_transcript(tmp_path, which)


def test_what_has_no_tables_is_not_in_the_ledger_though_that_is_made_one(
    box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_SEGMENTS", 0)
    box.add(Script.finished(), created_at=NOW - DAY)
    collect(box, tmp_path)
    which = box.add(Script.finished(), created_at=NOW - HOUR)
    spoilt = tmp_path / "raw" / "created=2027-01-15" / "spoilt.json"
    spoilt.parent.mkdir()
    spoilt.write_text("{}")

    assert collect(box, tmp_path).failed == {"SpoiltObjectError": 1}

    assert not any(which in each.read_text() for each in _ledger(tmp_path))
    spoilt.unlink()
    collect(box, tmp_path)
    assert len(_ledger(tmp_path)) == 1
    assert ids_in(tmp_path, "turns") == collecting.raw(tmp_path).keys()


@pytest.mark.parametrize("ill", ["spoilt", "in doubt"])
def test_a_date_that_stays_ill_has_later_runs_read_no_raw_objects_of_others(
    ill: str, box: TavusBox, tmp_path: Path
) -> None:
    which = box.add(Script.finished(), created_at=NOW - HOUR)
    if ill == "spoilt":
        (tmp_path / "raw" / "created=2027-01-15").mkdir(parents=True)
        (tmp_path / "raw" / "created=2027-01-15" / "spoilt.json").write_text("{}")
    else:
        with pytest.raises(Crash):
            collect(box, InterruptedStore(tmp_path, crash_at=5))
        box.trouble(route="get", conversation_id=which, status=500)
    for _ in range(3):
        box.advance(DAY)
        box.add(Script.finished(), created_at=box.clock.now() - HOUR)
        assert collect(box, tmp_path).failed
    box.advance(HOUR)
    read: list[str] = []

    class Noticed(LocalStore):
        def read(self, name: str) -> bytes:
            read.append(name)
            return super().read(name)

    certificate = collect(box, Noticed(tmp_path))

    assert {name.rpartition("/")[0] for name in read} == {WRITING, "raw/created=2027-01-15"}
    assert set(certificate.partitions) <= {"2027-01-15"}
    assert len(marks(tmp_path)) == 1


def test_a_row_goes_from_a_date_that_was_spoilt_when_its_conversation_was_taken_from_there(
    box: TavusBox, tmp_path: Path
) -> None:
    which = box.add(Script.finished(list_times=False), created_at=NOW - HOUR)
    body: dict[str, Any] = json.loads(_received(box, which))
    box.put_raw(which, body | {"created_at": "", "updated_at": ""})
    collect(box, tmp_path)
    box.put_raw(which, body)
    spoilt = tmp_path / "raw" / "created=unknown" / "spoilt.json"
    spoilt.write_text("{}")
    box.advance(HOUR)
    assert collect(box, tmp_path).failed == {"SpoiltObjectError": 1}
    spoilt.unlink()
    box.advance(HOUR)

    assert collect(box, tmp_path).complete

    collecting.tables_are_those_of_the_raw_objects(tmp_path)
    assert len(list(collecting.rows(tmp_path, "conversations"))) == 1
    assert not marks(tmp_path)


def test_a_run_renews_its_mark_before_it_makes_tables_a_while_after_it_stored(box: TavusBox, tmp_path: Path) -> None:
    written: list[str] = []

    class Slow(LocalStore):
        def write(self, name: str, content: bytes) -> None:
            written.append(name.split("/")[0])
            super().write(name, content)
            if name.startswith("raw/"):
                box.advance(RENEWED_AFTER)

    box.add(Script.finished(), created_at=NOW - DAY)
    collect(box, Slow(tmp_path))

    assert written[:3] == ["_writing", "raw", "_writing"]


@pytest.mark.parametrize("content", ["", '{"at": "2027-01-1', "null", "[1]"])
def test_what_a_run_left_that_died_is_put_right_though_its_mark_was_damaged(
    content: str, box: TavusBox, tmp_path: Path
) -> None:
    which = box.add(Script.finished(), created_at=NOW - DAY)
    with pytest.raises(Crash):
        collect(box, InterruptedStore(tmp_path, crash_at=5))
    assert which in collecting.raw(tmp_path)
    (mark,) = (tmp_path / WRITING).iterdir()
    mark.write_text(content)
    box.remove(which)

    collect(box, tmp_path)

    assert ids_in(tmp_path, "turns") == {which}
    assert not marks(tmp_path)


def test_of_a_date_as_much_is_held_in_memory_at_once_however_much_a_run_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "COMPARED_AT_A_TIME", 10)
    store = LocalStore(tmp_path)
    for number in range(25):
        store.write(f"raw/created=2027-01-15/c{number:02}.json", b'{"conversation_id": "c%02d"}' % number)
    read: list[str] = []

    class Noticed(LocalStore):
        def read(self, name: str) -> bytes:
            read.append(name)
            return super().read(name)

    some = [
        (len(each.entries), len(read))
        for each in stock.take_stock(Noticed(tmp_path), Shard(), "2027-01-15", lambda _: None)
    ]

    assert some == [(10, 10), (10, 20), (5, 25)]


def test_what_was_deleted_at_tavus_after_a_run_died_stays_and_gets_its_rows(box: TavusBox, tmp_path: Path) -> None:
    which = box.add(Script.finished(), created_at=NOW - DAY)
    others = [box.add(Script.finished(), created_at=NOW - DAY - each) for each in range(2)]
    whole = InterruptedStore(tmp_path / "whole")
    collect(box, whole)
    for crash_at in range(1, whole.changes):
        root = tmp_path / str(crash_at)
        with suppress(Crash):
            collect(box, InterruptedStore(root, crash_at=crash_at))
        was_stored = which in collecting.raw(root)
        box.trouble(route="get", conversation_id=which, status=400, body={"error": "Invalid conversation_id"})

        certificate = collect(box, root, renderings=("txt",))

        expected = {*others, which} if was_stored else {*others}
        assert collecting.raw(root).keys() == ids_in(root, "conversations") == ids_in(root, "turns") == expected
        assert certificate.states == {"collected": 3} if was_stored else {"collected": 2, "impossible": 1}
        assert len(list(root.glob("renderings/*/*.txt"))) == len(expected)
        box.stop_troubles()


def test_less_that_is_read_after_a_run_died_replaces_nothing(box: TavusBox, tmp_path: Path) -> None:
    which = box.add(Script.finished(), created_at=NOW - DAY)
    with pytest.raises(Crash):
        collect(box, InterruptedStore(tmp_path, crash_at=5))
    whole = collecting.raw(tmp_path)[which]
    box.put_raw(which, {name: value for name, value in whole.items() if name != "events"})

    collect(box, tmp_path)

    assert collecting.raw(tmp_path)[which] == whole
    assert ids_in(tmp_path, "turns") == {which}


@pytest.mark.parametrize("list_times", [True, False])
@pytest.mark.parametrize("dies_after", [None, 1, 2, 3, 4, 5, 6, 8])
def test_what_is_forgotten_beside_a_run_is_gone_whether_that_dies_or_not(
    dies_after: int | None, list_times: bool, box: TavusBox, tmp_path: Path
) -> None:
    for at in range(1, 10):
        root = tmp_path / str(at)
        which = box.add(Script.finished(seconds=600, list_times=list_times), created_at=box.clock.now() - 60)
        collect(box, root)
        box.advance(HOUR)

        def meanwhile(root: Path = root, which: str = which) -> None:
            forget(which, store=LocalStore(root), clock=box.clock.now)

        crash_at = None if dies_after is None else at + dies_after
        with suppress(Crash):
            collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=at, crash_at=crash_at))
        # What is half written goes after a day.
        box.advance(2 * DAY)
        _make_old(root)

        collect(box, root)

        left = [name for name, content in collecting.objects(root).items() if which in name + content.decode()]
        tombstoned = any(which in each.read_text() and "forgotten" in each.read_text() for each in _ledger(root))
        assert not left or not tombstoned, (at, left)
        box.remove(which)


def _ledger(root: Path) -> list[Path]:
    return list((root / "_ledger").iterdir())


def _make_old(root: Path) -> None:
    for each in root.glob("_tmp/*"):
        os.utime(each, (0, 0))


def test_in_an_ordinary_run_no_raw_object_is_read(box: TavusBox, tmp_path: Path) -> None:
    read: list[str] = []

    class Noticed(LocalStore):
        def read(self, name: str) -> bytes:
            read.append(name)
            return super().read(name)

    for _ in range(3):
        box.add(Script.finished(), created_at=NOW - DAY)
        collect(box, Noticed(tmp_path))
    assert not [name for name in read if name.startswith("_writing")]
    # Those of the date that has changed, for its tables.
    assert len(read) == 1 + 2


def test_all_dates_that_change_are_noted_before_they_do(box: TavusBox, tmp_path: Path) -> None:
    which = box.add(Script.finished(list_times=False), created_at=NOW - HOUR)
    body: dict[str, Any] = json.loads(_received(box, which))
    box.put_raw(which, body | {"created_at": "", "updated_at": ""})
    collect(box, tmp_path)
    box.put_raw(which, body)
    box.advance(HOUR)
    noted: list[str] = []

    certificate = collect(box, tmp_path, on_arrival=noted.append)

    assert sorted(noted) == certificate.partitions == ["2027-01-15", "unknown"]


def test_what_gets_its_date_is_there_once_whenever_the_run_died_that_moved_it(box: TavusBox, tmp_path: Path) -> None:
    def dies(crash_at: int) -> bool:
        root = tmp_path / str(crash_at)
        which = box.add(Script.finished(list_times=False), created_at=box.clock.now() - HOUR)
        body: dict[str, Any] = json.loads(_received(box, which))
        box.put_raw(which, body | {"created_at": "", "updated_at": ""})
        collect(box, root)
        box.put_raw(which, body)
        box.advance(HOUR)
        store = InterruptedStore(root, crash_at=crash_at)
        with suppress(Crash):
            collect(box, store)

        for _ in range(2):
            box.advance(HOUR)
            collect(box, root, sweep_interval=0.0)

        assert collecting.raw(root).keys() == {which}, crash_at
        assert len(list(collecting.rows(root, "conversations"))) == 1, crash_at
        box.remove(which)
        return store.changes >= crash_at

    assert not all(dies(crash_at) for crash_at in range(1, 60))


@pytest.mark.parametrize("date_is_known_to", ["the first", "the second"])
def test_what_one_of_two_runs_knows_the_date_of_is_there_once_whether_the_other_dies_or_not(
    date_is_known_to: str, box: TavusBox, tmp_path: Path
) -> None:
    for at, dies_after in [(1, None), (4, None), (7, None), (1, 5), (1, 9), (4, 5), (4, 9)]:
        root = tmp_path / f"{at}-{dies_after}"
        which = box.add(Script.finished(list_times=False), created_at=box.clock.now() - HOUR)
        dated: dict[str, Any] = json.loads(_received(box, which))
        bodies = [dated | {"created_at": "", "updated_at": ""}, dated]
        if date_is_known_to == "the first":
            bodies.reverse()
        box.put_raw(which, bodies[0])

        def meanwhile(root: Path = root, which: str = which, body: dict[str, Any] = bodies[1]) -> None:
            box.put_raw(which, body)
            box.advance(20)
            collect(box, root)

        crash_at = None if dies_after is None else at + dies_after
        with suppress(Crash):
            collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=at, crash_at=crash_at))
        box.put_raw(which, dated)
        box.advance(HOUR)

        collect(box, root, sweep_interval=0.0)

        assert collecting.raw(root).keys() == {which}, (at, dies_after)
        assert len(list(collecting.rows(root, "conversations"))) == 1, (at, dies_after)
        box.remove(which)


def _received(box: TavusBox, which: str) -> bytes:
    url = f"{box.base_url}/v2/conversations/{which}?verbose=true"
    return requests.get(url, headers={"x-api-key": box.api_key}, timeout=10).content
