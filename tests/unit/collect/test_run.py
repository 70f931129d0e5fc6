"""One run after another, beside another, and after a crash: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import collecting
import pytest
from collecting import GRACE, SETTLE, Crash, InterruptedStore, collect
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_tavus.api import lenient
from airflow_provider_tavus.collect import formats, ledger, outcome, reader, run, storing, writer
from airflow_provider_tavus.collect.copies import NoCopies
from airflow_provider_tavus.collect.entry import Entry
from airflow_provider_tavus.collect.failures import Failures
from airflow_provider_tavus.collect.index import Index
from airflow_provider_tavus.collect.layout import WRITING, Shard, partition_of
from airflow_provider_tavus.collect.ledger import Ledger, ShardCountError, UnreadableLedgerError
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.store import ObjectStore
from airflow_provider_tavus.collect.writer_process import WriterProcess
from airflow_provider_tavus.conversations.privacy import Privacy
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox, drawn_script, events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from subprocess import Popen

NOW = 1_800_000_000.0
DAY = 86_400.0
HOUR = 3600.0


@pytest.fixture
def box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
        yield box


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "destination"


def add(box: TavusBox, count: int, script: Script | None = None, *, ago: float = 2 * DAY) -> list[str]:
    """Add conversations that began some time ago, an hour between one and the next."""
    return [box.add(script or Script.finished(), created_at=box.clock.now() - ago - i * HOUR) for i in range(count)]


def entries(root: Path) -> dict[str, dict[str, Any]]:
    """What the ledger says of each conversation."""
    lines = [
        json.loads(line)
        for segment in sorted((root / "_ledger").iterdir())
        for line in segment.read_text().splitlines()[1:]
    ]
    return {line["conversation_id"]: line for line in sorted(lines, key=lambda line: line["at"])}


def test_every_ended_conversation_is_stored_once_as_it_was_received(box: TavusBox, root: Path) -> None:
    for seed in range(60):
        box.add(drawn_script(seed), created_at=NOW - 3 * DAY + seed * HOUR)
    going_on = box.add(Script.active())

    certificate = collect(box, root)

    stored = collecting.raw(root)
    assert certificate.complete
    assert len(stored) == certificate.ended == 60
    assert going_on not in stored
    some_id = next(iter(stored))
    (file,) = root.glob(f"raw/*/{some_id}.json")
    assert file.read_bytes() == _as_received(box, some_id)
    collecting.tables_are_those_of_the_raw_objects(root)


def _as_received(box: TavusBox, conversation_id: str) -> bytes:
    import requests

    url = f"{box.base_url}/v2/conversations/{conversation_id}?verbose=true"
    return requests.get(url, headers={"x-api-key": box.api_key}, timeout=10).content


def test_a_second_run_with_nothing_new_asks_for_one_page_and_changes_nothing(box: TavusBox, root: Path) -> None:
    add(box, 250)
    collect(box, root)
    before = collecting.objects(root)
    ledger_before = sorted((root / "_ledger").iterdir())
    box.forget_requests()

    certificate = collect(box, root)

    assert box.count() == certificate.requests == 1
    assert (certificate.collected, certificate.already_had, certificate.complete) == (0, 100, True)
    assert certificate.states == {"collected": 250}
    assert collecting.objects(root) == before
    assert sorted((root / "_ledger").iterdir()) == ledger_before


def test_a_fault_while_the_list_is_read_ends_the_run_at_once(
    box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(box, 600)
    note = Index.note

    def full_disk(self: Index, rows: Sequence[Any], reading: int) -> Any:
        if reading > 1:
            raise RuntimeError("no room")
        return note(self, rows, reading)

    monkeypatch.setattr(Index, "note", full_disk)

    with pytest.raises(RuntimeError, match="no room"):
        collect(box, root, requests_in_flight=1)

    assert box.count() < 300, "not when all else was read"


def test_no_request_times_out_while_a_slow_function_redacts_what_others_have_brought(box: TavusBox, root: Path) -> None:
    def redact(conversation: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.05)
        return conversation

    add(box, 60)
    certificate = collect(box, root, retries=0, timeout=0.6, privacy=Privacy(redact=redact))

    assert (certificate.collected, certificate.failed) == (60, {})


def test_a_sweep_is_made_when_its_interval_is_over(box: TavusBox, root: Path) -> None:
    ids = add(box, 250)
    collect(box, root, sweep_interval=DAY)
    box.remove(ids[-1])
    assert not collect(box, root, sweep_interval=DAY).list_reading["full"]  # type: ignore[index]
    box.advance(DAY)

    certificate = collect(box, root, sweep_interval=DAY)

    assert certificate.list_reading is not None
    assert (certificate.list_reading["full"], certificate.listed) == (True, 249)
    assert ids[-1] in collecting.raw(root), "what was collected stays when it is deleted at Tavus"


def test_what_is_not_complete_stays_pending_until_it_is(box: TavusBox, root: Path) -> None:
    late = box.add(Script.finished(seconds=60, transcript_delay=300))
    box.advance(100)
    assert collect(box, root).pending == 1
    assert not collecting.raw(root)
    box.advance(300)

    certificate = collect(box, root)

    assert (certificate.pending, certificate.collected) == (0, 1)
    assert late in collecting.raw(root)
    assert certificate.states == {"collected": 1}


def test_what_is_stored_as_raw_objects_alone_is_stored_again_only_if_it_has_changed(box: TavusBox, root: Path) -> None:
    add(box, 3, Script.finished(seconds=60), ago=GRACE)
    assert collect(box, root, formats=()).collected == 3
    box.advance(SETTLE)

    certificate = collect(box, root, formats=())

    assert (certificate.collected, certificate.already_had, certificate.partitions) == (0, 3, [])


def test_what_never_comes_is_impossible_with_why_and_what_there_is_is_stored(box: TavusBox, root: Path) -> None:
    ids = [*add(box, 1, Script.test_mode()), *add(box, 2, Script.nobody_joined())]

    certificate = collect(box, root)

    assert certificate.impossible == {"test_mode": 1, "nobody_joined": 2}
    assert certificate.complete
    assert collecting.raw(root).keys() == set(ids)
    assert entries(root)[ids[1]]["missing"] == ["application.transcription_ready"]


def test_what_comes_after_the_grace_period_is_collected_all_the_same(box: TavusBox, root: Path) -> None:
    late = box.add(Script.finished(seconds=60, transcript_delay=GRACE + 900))
    box.advance(60 + GRACE)
    assert collect(box, root).impossible == {"not_in_time": 1}
    box.advance(1000)

    assert collect(box, root).collected == 1
    assert json.dumps(collecting.raw(root)[late]).count("transcription_ready") == 1


@pytest.mark.parametrize("updated_at", [None, "2027-01-14T08:00:00Z"], ids=["no last change", "one before its end"])
def test_a_call_whose_end_is_not_told_has_its_grace_from_when_it_was_seen_going_on(
    box: TavusBox, root: Path, updated_at: str | None
) -> None:
    call = box.add(Script.active(), created_at=NOW - DAY)
    collect(box, root)
    box.advance(60)
    box.put_raw(call, {"conversation_id": call, "status": "ended", "updated_at": updated_at, "events": None})
    box.end(call)

    assert collect(box, root).pending == 1
    box.advance(GRACE - 1)
    assert collect(box, root).pending == 1
    box.advance(1)
    assert collect(box, root).states == {"impossible": 1}


@pytest.mark.parametrize("list_times", [True, False], ids=["told by the list", "not told by the list"])
def test_what_came_after_collection_is_collected_again(box: TavusBox, root: Path, list_times: bool) -> None:
    script = Script.finished(seconds=60, further_events=(events.perception_analysis(after=900),), list_times=list_times)
    which = box.add(script)
    box.advance(120)
    collect(box, root)
    box.advance(SETTLE)

    assert collect(box, root).collected == 1
    assert "perception_analysis" in json.dumps(collecting.raw(root)[which])
    box.forget_requests()
    collect(box, root)
    assert box.count("get") == 0


def test_further_events_are_waited_for_if_they_are_wanted(box: TavusBox, root: Path) -> None:
    wanted = ("application.transcription_ready", "application.perception_analysis")
    box.add(Script.finished(seconds=60, further_events=(events.perception_analysis(after=180),)))
    box.advance(120)
    assert collect(box, root, wait_for=wanted).pending == 1
    box.advance(180)
    assert collect(box, root, wait_for=wanted).collected == 1


def test_a_pending_one_that_is_deleted_at_tavus_is_impossible(box: TavusBox, root: Path) -> None:
    which = box.add(Script.finished(seconds=60, transcript_delay=300))
    box.advance(100)
    collect(box, root)
    box.remove(which)

    certificate = collect(box, root)

    assert certificate.impossible == {"deleted": 1}
    assert certificate.states == {"impossible": 1}


def test_those_that_another_accounts_key_does_not_find_are_found_again_with_the_right_one(
    box: TavusBox, root: Path
) -> None:
    box.add(Script.finished(seconds=60, transcript_delay=300))
    box.advance(100)
    collect(box, root)
    with TavusBox.in_thread(clock=box.clock) as another_account:
        assert collect(another_account, root).impossible == {"deleted": 1}
    box.advance(300)
    assert collect(box, root).collected == 1


def test_a_call_that_outlasts_every_look_back_is_collected_when_it_ends(box: TavusBox, root: Path) -> None:
    long_call = box.add(Script.finished(seconds=20 * HOUR))
    add(box, 120, ago=DAY)
    collect(box, root)
    box.advance(21 * HOUR)
    # So that it lies beyond the first page.
    add(box, 120, ago=HOUR / 2)

    certificate = collect(box, root, lookback=0.0, sweep_interval=10 * DAY)

    assert long_call in collecting.raw(root)
    assert certificate.complete


class TestPoorerReads:
    """What Tavus sends later may lack what it sent before."""

    @pytest.fixture
    def which(self, box: TavusBox, root: Path) -> str:
        """One that was collected, and is due to be read once more."""
        which = box.add(Script.finished(), created_at=box.clock.now() - 300)
        collect(box, root)
        box.advance(SETTLE)
        return which

    @pytest.mark.parametrize(
        "poorer",
        [
            {"events": None},
            {"events": []},
            {"events": [], "status": "deleted"},
            "no properties",
            "no turns",
        ],
        ids=str,
    )
    def test_what_is_stored_stays_and_nothing_is_written(
        self, box: TavusBox, root: Path, which: str, poorer: dict[str, Any] | str
    ) -> None:
        before = collecting.objects(root)
        _send_less(box, which, poorer)

        certificate = collect(box, root)

        assert collecting.objects(root) == before
        assert (certificate.collected, certificate.already_had, certificate.impossible) == (0, 1, {})
        assert certificate.states == {"collected": 1}

    def test_it_is_read_once_more_and_then_not_before_it_changes(self, box: TavusBox, root: Path, which: str) -> None:
        _send_less(box, which, {"events": []})
        reads = []
        for _ in range(6):
            box.forget_requests()
            collect(box, root)
            reads.append(box.count("get"))
            box.advance(SETTLE / 2)

        assert reads == [1, 0, 1, 0, 0, 0]

    def test_what_comes_back_is_collected_with_what_came_meanwhile(self, box: TavusBox, root: Path, which: str) -> None:
        body = json.loads(_as_received(box, which))
        box.put_raw(which, body | {"events": []})
        collect(box, root)
        box.advance(SETTLE)
        box.put_raw(which, body | {"memory": "late"})

        assert collect(box, root).collected == 1
        assert collecting.raw(root)[which] == body | {"memory": "late"}

    def test_an_event_that_is_wanted_only_now_was_never_there_and_is_no_loss(
        self, box: TavusBox, root: Path, which: str
    ) -> None:
        body = json.loads(_as_received(box, which))
        box.put_raw(which, body | {"memory": "late"})

        certificate = collect(
            box, root, wait_for=("application.transcription_ready", "application.perception_analysis")
        )

        assert certificate.impossible == {"not_in_time": 1}
        assert collecting.raw(root)[which] == body | {"memory": "late"}

    def test_any_event_that_is_wanted_stays_stored(self, box: TavusBox, root: Path) -> None:
        wanted = ("application.transcription_ready", "application.perception_analysis")
        script = Script.finished(seconds=60, further_events=(events.perception_analysis(after=180),))
        which = box.add(script, created_at=box.clock.now() - HOUR / 4)
        assert collect(box, root, wait_for=wanted).collected == 1
        before = collecting.objects(root)
        box.advance(SETTLE)
        body = json.loads(_as_received(box, which))
        left = [event for event in body["events"] if event["event_type"] != "application.perception_analysis"]
        box.put_raw(which, body | {"events": left})

        assert collect(box, root, wait_for=wanted).already_had == 1
        assert collecting.objects(root) == before

    def test_what_was_stored_without_a_transcript_may_change(self, box: TavusBox, root: Path) -> None:
        which = box.add(Script.nobody_joined(), created_at=box.clock.now() - GRACE)
        collect(box, root)
        box.advance(SETTLE)
        body = json.loads(_as_received(box, which))
        box.put_raw(which, body | {"events": None})

        assert sum(collect(box, root).impossible.values()) == 1
        assert collecting.raw(root)[which] == body | {"events": None}

    @pytest.fixture(params=["the run that stored it was killed", "the ledger was lost"])
    def unknown(self, request: pytest.FixtureRequest, box: TavusBox, root: Path) -> str:
        """One that is stored, and of which the ledger says nothing."""
        which = box.add(Script.finished(), created_at=box.clock.now() - DAY)
        if "killed" in request.param:
            with pytest.raises(Crash):
                # The first changes are those of the run's mark, then comes the raw object.
                collect(box, InterruptedStore(root, crash_at=5))
        else:
            collect(box, root)
            shutil.rmtree(root / "_ledger")
        assert which in collecting.raw(root)
        return which

    @pytest.mark.parametrize("poorer", [{"events": None}, {"events": []}, "no turns"], ids=str)
    def test_what_is_stored_stays_where_the_ledger_does_not_know_of_it(
        self, box: TavusBox, root: Path, unknown: str, poorer: dict[str, Any] | str
    ) -> None:
        stored = collecting.raw(root)[unknown]
        _send_less(box, unknown, poorer)
        box.advance(SETTLE)

        certificate = collect(box, root)

        assert collecting.raw(root) == {unknown: stored}
        collecting.tables_are_those_of_the_raw_objects(root)
        assert certificate.collected + certificate.already_had == 1
        assert (certificate.states, certificate.complete) == ({"collected": 1}, True)
        (file,) = root.glob("raw/*/*.json")
        told = entries(root)[unknown]
        assert told["sha256"] == sha256(file.read_bytes()).hexdigest()
        assert file.parent.name == f"created={told['partition']}"
        assert (told["stored_as"], "missing" in told) == (["jsonl"], False)

    def test_it_is_then_read_once_more_too(self, box: TavusBox, root: Path, unknown: str) -> None:
        body = json.loads(_as_received(box, unknown))
        _send_less(box, unknown, {"events": []})
        reads = []
        for _ in range(5):
            box.forget_requests()
            collect(box, root)
            reads.append(box.count("get"))
            box.advance(SETTLE / 2)
        assert reads == [1, 0, 1, 0, 0]
        assert collecting.raw(root)[unknown] == body

    def test_only_one_that_may_be_poorer_is_compared_with_what_is_stored(self, box: TavusBox, root: Path) -> None:
        class Noticed(LocalStore):
            def read(self, name: str) -> bytes:
                asked.append(name)
                return super().read(name)

        asked: list[str] = []
        add(box, 20)
        add(box, 1, Script.active())
        (nobody,) = add(box, 1, Script.nobody_joined())
        box.add(Script.finished(seconds=60, transcript_delay=300), created_at=NOW - 100)

        assert collect(box, Noticed(root)).pending == 1
        assert [name for name in asked if name.startswith("raw/") and nobody not in name] == []


def _send_less(box: TavusBox, which: str, less: dict[str, Any] | str) -> None:
    body = json.loads(_as_received(box, which))
    if isinstance(less, dict):
        body |= less
    for event in body["events"] or ():
        if event["event_type"] == "application.transcription_ready":
            event["properties"] = {} if less == "no properties" else {"transcript": []}
    box.put_raw(which, body)


NO_ROWS_OF_ODD_ONES = """
from airflow_provider_tavus.collect import writer

def lines_of_all_but_odd_ones(body, lines_of_tables=writer.lines_of_tables):
    if b"application.odd" in body:
        raise ValueError("what somebody said")
    return lines_of_tables(body)

writer.lines_of_tables = lines_of_all_but_odd_ones
"""
IN_A_PROCESS = """
import os, sys
from airflow_provider_tavus.collect.writer_process import answer
answer(sys.stdin.buffer, os.fdopen(int(sys.argv[1]), "wb"))
"""


@pytest.fixture
def no_rows_of_odd_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no rows be made of conversations with an odd event, here and in a process that stores."""
    start = subprocess.Popen

    def start_with_it(command: list[str], **arguments: Any) -> Popen[bytes]:
        return start([command[0], "-c", NO_ROWS_OF_ODD_ONES + IN_A_PROCESS, command[-1]], **arguments)

    monkeypatch.setattr(subprocess, "Popen", start_with_it)
    monkeypatch.setattr(writer, "lines_of_tables", formats.lines_of_tables)
    exec(NO_ROWS_OF_ODD_ONES, {})


def make_odd(box: TavusBox, which: str) -> None:
    body = json.loads(_as_received(box, which))
    body["events"].append({"event_type": "application.odd", "properties": {}})
    box.put_raw(which, body)


class TestFailures:
    def test_one_that_cannot_be_read_fails_alone_and_comes_with_the_next_run(self, box: TavusBox, root: Path) -> None:
        ids = add(box, 20)
        box.trouble(status=500, route="get", conversation_id=ids[7], times=2)

        certificate = collect(box, root)

        assert certificate.failed == {"ServerError": 1}
        assert (certificate.collected, certificate.complete) == (19, False)
        assert ids[7] not in collecting.raw(root)
        assert collect(box, root).collected == 1

    def test_what_the_list_showed_before_it_failed_is_collected(self, box: TavusBox, root: Path) -> None:
        add(box, 150)
        box.trouble(status=500, route="list", after=1)

        certificate = collect(box, root)

        assert (certificate.collected, certificate.complete, certificate.list_reading) == (100, False, None)

    def test_a_refused_key_ends_the_run_at_once(self, box: TavusBox, root: Path) -> None:
        add(box, 90)
        box.trouble(status=401, route="get", after=10)

        certificate = collect(box, root, requests_in_flight=4)

        assert certificate.collected == 10
        assert sum(certificate.failed.values()) == 80
        assert box.count("get") <= 10 + 4
        box.stop_troubles()
        assert collect(box, root).collected == 80

    def test_a_service_that_is_down_is_not_asked_for_each_of_many(self, box: TavusBox, root: Path) -> None:
        add(box, 290)
        box.trouble(status=500, route="get")
        box.trouble(status=500, route="list", after=6)
        certificate = collect(box, root, retries=0)
        assert box.count("get") < 64 + 32
        assert box.count("list") == 6 + 1, "one reader asks on behalf of all"
        assert sum(certificate.failed.values()) == 290

    @pytest.mark.parametrize("status", [402, 403, 500])
    def test_many_that_cannot_be_read_do_not_keep_those_after_them_from_being_read(
        self, box: TavusBox, root: Path, status: int
    ) -> None:
        bad, good = add(box, 70, ago=9 * DAY), add(box, 20)
        for each in bad:
            box.trouble(status=status, route="get", conversation_id=each)

        certificate = collect(box, root, retries=0)

        assert (certificate.collected, certificate.complete) == (20, False)
        assert sum(certificate.failed.values()) == len(bad)
        assert collecting.raw(root).keys() == set(good)
        assert len([each for each in box.requests_of("list") if each.query["limit"] == "1"]) == 1

    @pytest.fixture
    def soon_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "FAULTS_IN_A_ROW", 4)
        monkeypatch.setattr(reader, "FAULTS_UNTIL_FEWER_ARE_READ", 4)

    @pytest.mark.usefixtures("soon_passed_over")
    def test_where_the_list_can_be_read_but_no_conversation_not_each_of_many_is_asked_for(
        self, box: TavusBox, root: Path
    ) -> None:
        add(box, 290)
        box.trouble(status=500, route="get")

        certificate = collect(box, root, retries=0, requests_in_flight=2)

        # As a rule half a dozen times four.
        assert box.count("get") < 100
        assert certificate.failed["not_read"] == 290 - box.count("get")

    @pytest.mark.usefixtures("soon_passed_over")
    def test_what_is_new_has_its_turn_even_where_very_many_before_it_cannot_be_read(
        self, box: TavusBox, root: Path
    ) -> None:
        for each in add(box, 40, ago=9 * DAY):
            box.trouble(status=500, route="get", conversation_id=each)
        newest = add(box, 10)[0]

        for _ in range(30):
            collect(box, root, retries=0, requests_in_flight=1)

        assert newest in collecting.raw(root)

    def test_an_id_that_cannot_be_asked_for_costs_no_other(self, box: TavusBox, root: Path) -> None:
        add(box, 3)
        box.add(Script.finished(), conversation_id="two words", created_at=NOW - DAY)
        certificate = collect(box, root)
        assert (certificate.collected, certificate.impossible) == (3, {"unusable_id": 1})

    def test_what_cannot_be_redacted_is_not_stored_at_all(self, box: TavusBox, root: Path) -> None:
        ids = add(box, 3)

        def redact(conversation: dict[str, Any]) -> dict[str, Any]:
            if conversation["conversation_id"] == ids[1]:
                raise ValueError(f"what somebody said: {conversation}")
            return conversation

        certificate = collect(box, root, privacy=Privacy(redact=redact))

        assert certificate.failed == {"RedactionError": 1}
        assert collecting.raw(root).keys() == {ids[0], ids[2]}

    @pytest.mark.usefixtures("no_rows_of_odd_ones")
    @pytest.mark.parametrize("a_process_stores", [False, True])
    def test_one_of_which_no_rows_can_be_made_fails_alone_and_nothing_of_it_is_stored(
        self, box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch, a_process_stores: bool
    ) -> None:
        monkeypatch.setattr(storing, "MUCH_TO_STORE", 1 if a_process_stores else 1000)
        ids = add(box, 6)
        make_odd(box, ids[2])

        certificate = collect(box, LocalStore(root), renderings=("vtt",))

        assert certificate.failed == {"ValueError": 1}
        assert (certificate.collected, certificate.complete) == (5, False)
        assert collecting.raw(root).keys() == {*ids} - {ids[2]}
        assert {file.stem for file in root.glob("renderings/*/*")} == {*ids} - {ids[2]}
        collecting.tables_are_those_of_the_raw_objects(root)

        box.put_raw(ids[2], None)
        assert collect(box, root).collected == 1

    @pytest.mark.usefixtures("no_rows_of_odd_ones")
    def test_what_was_stored_of_one_stays_when_no_rows_can_be_made_of_it_any_more(
        self, box: TavusBox, root: Path
    ) -> None:
        (which,) = add(box, 1, ago=SETTLE / 2)
        collect(box, root)
        before = collecting.objects(root)
        box.advance(SETTLE)
        make_odd(box, which)

        certificate = collect(box, root)

        assert certificate.failed == {"ValueError": 1}
        assert certificate.states == {"collected": 1}
        assert collecting.objects(root) == before

    def test_a_fault_is_told_by_its_class_and_never_by_its_text(
        self, box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = add(box, 3)

        def entry_of(conversation: Any, *arguments: Any, **options: Any) -> Any:
            if conversation.conversation_id == ids[1]:
                raise OverflowError("what somebody said")
            return outcome.entry_of(conversation, *arguments, **options)

        monkeypatch.setattr(reader, "entry_of", entry_of)
        noted: list[Exception] = []
        monkeypatch.setattr(Failures, "note", lambda self, error: noted.append(error))
        monkeypatch.setattr(run.CollectionRun, "failure", property(lambda self: noted[0]))

        assert collect(box, root).failed == {"OverflowError": 1}
        assert collecting.raw(root).keys() == {ids[0], ids[2]}
        assert [str(failure) for failure in noted] == [
            f"Conversation {ids[1]} cannot be brought into the shape that it is stored in: it raised OverflowError."
        ]

    def test_an_object_that_is_no_conversation_costs_no_other_date(self, box: TavusBox, root: Path) -> None:
        old, new = (box.add(Script.finished(), created_at=NOW - days * DAY) for days in (3, 1))
        spoilt = root / "raw" / f"created={partition_of(NOW - 3 * DAY)}" / "index.json"
        spoilt.parent.mkdir(parents=True)
        spoilt.write_text("{}")

        for _ in range(2):
            certificate = collect(box, root)
            assert certificate.failed == {"SpoiltObjectError": 1}
            assert {row["conversation_id"] for _, row in collecting.rows(root, "turns")} == {new}
            assert entries(root).keys() == {new}
        spoilt.unlink()

        assert collect(box, root).collected == 1
        assert entries(root).keys() == {old, new}
        collecting.tables_are_those_of_the_raw_objects(root)

    def test_no_run_is_complete_that_could_not_make_the_tables_of_a_date_again(self, box: TavusBox, root: Path) -> None:
        add(box, 1)
        collect(box, root)
        (folder,) = root.glob("raw/*")
        spoilt = folder / "index.json"
        spoilt.write_text("{}")
        date = folder.name.removeprefix("created=")
        # Of a run that died once the ledger had everything.
        (root / WRITING / "00000-died").write_text(json.dumps([date]))

        certificate = collect(box, root)

        assert (certificate.already_had, certificate.failed) == (1, {})
        assert (certificate.complete, certificate.spoilt_partitions) == (False, [date])
        spoilt.unlink()
        assert collect(box, root).complete

    @pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z"])
    def test_one_that_ends_at_the_end_of_all_times_is_collected_as_all_others_are(
        self, box: TavusBox, root: Path, end: str
    ) -> None:
        ids = add(box, 3)
        body = json.loads(_as_received(box, ids[1]))
        for event in body["events"]:
            event["timestamp"] = end
        box.put_raw(ids[1], body | {"updated_at": end})

        assert collect(box, root).collected == 3
        assert collect(box, root).already_had == 3
        assert collecting.raw(root).keys() == set(ids)

    @pytest.mark.parametrize("name", [".DS_Store", "._20261124030405.jsonl", "_SUCCESS", "notes.txt"])
    def test_what_others_leave_beside_its_segments_is_passed_over(self, box: TavusBox, root: Path, name: str) -> None:
        add(box, 2)
        collect(box, root)
        foreign = root / "_ledger" / name
        foreign.write_bytes(b"\0\0\0\1Bud1")

        assert collect(box, root).already_had == 2
        assert foreign.exists()

    def test_a_ledger_that_cannot_be_read_is_named_and_nothing_is_changed(self, box: TavusBox, root: Path) -> None:
        add(box, 3)
        collect(box, root)
        (segment,) = (root / "_ledger").iterdir()
        segment.write_bytes(segment.read_bytes()[:-20])
        before = collecting.objects(root, of_runs=True)

        with pytest.raises(UnreadableLedgerError, match=f"{segment.name}.* that were forgotten come back"):
            collect(box, root)
        assert collecting.objects(root, of_runs=True) == before


@pytest.mark.long
class TestCrashes:
    def test_a_crash_before_any_change_and_a_retry_leave_the_same_bytes(self, box: TavusBox, tmp_path: Path) -> None:
        add(box, 4, ago=DAY)
        add(box, 2, Script.nobody_joined(list_times=False))
        whole = InterruptedStore(tmp_path / "whole")
        collect(box, whole)
        expected = collecting.objects(tmp_path / "whole")

        for crash_at in range(1, whole.changes + 1):
            root = tmp_path / str(crash_at)
            with pytest.raises(Crash):
                collect(box, InterruptedStore(root, crash_at=crash_at))
            certificate = collect(box, root)
            assert certificate.complete
            assert collecting.objects(root) == expected, crash_at
            collecting.tables_are_those_of_the_raw_objects(root)

    def test_a_crash_before_any_change_of_making_the_ledger_one_loses_nothing(
        self, box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger, "MOST_SEGMENTS", 3)

        def history(root: Path, **interrupted: Any) -> int:
            for script in (Script.finished(), Script.test_mode(), Script.active()):
                add(box, 2, script, ago=HOUR)
                collect(box, root, sweep_interval=0.0)
            add(box, 1, ago=HOUR)
            store = InterruptedStore(root, **interrupted)
            with suppress(Crash):
                collect(box, store, sweep_interval=0.0)
            return store.changes

        changes = history(tmp_path / "whole")
        assert len(list((tmp_path / "whole" / "_ledger").iterdir())) == 1
        for crash_at in range(changes - 8, changes + 1):
            root = tmp_path / str(crash_at)
            history(root, crash_at=crash_at)
            after = collect(box, root)
            assert after.collected <= 1
            assert after.states == collect(box, tmp_path / "whole").states


class TestOverlap:
    def test_another_run_in_the_middle_leaves_everything_once_wherever_the_middle_is(
        self, box: TavusBox, tmp_path: Path
    ) -> None:
        ids = add(box, 3, ago=DAY)
        alone = InterruptedStore(tmp_path / "alone")
        collect(box, alone)

        for at in range(1, alone.changes + 1):
            root, new = tmp_path / str(at), f"cnew{at}"

            def meanwhile(root: Path = root, new: str = new) -> None:
                box.add(Script.finished(), created_at=box.clock.now() - DAY, conversation_id=new)
                collect(box, root)

            collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=at))

            assert collecting.raw(root).keys() == {*ids, new}
            collecting.tables_are_those_of_the_raw_objects(root)
            box.remove(new)

    def test_an_older_body_that_is_stored_after_a_newer_one_is_put_right(self, box: TavusBox, root: Path) -> None:
        script = Script.finished(seconds=60, further_events=(events.recording_ready(after=300),), list_times=False)
        which = box.add(script)
        box.advance(120)

        def meanwhile() -> None:
            box.advance(300)
            collect(box, root)

        # The first change is that of the run's mark: it has been read, and is not yet stored.
        collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=1))

        assert "recording_ready" in json.dumps(collecting.raw(root)[which])
        collecting.tables_are_those_of_the_raw_objects(root)

    def test_what_others_have_written_meanwhile_is_taken_in_some_at_a_time(
        self, box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger, "ENTRIES_AT_A_TIME", 2)
        steps: list[str] = []

        class Noticed(Entry, frozen=True):
            @classmethod
            def from_json(cls, plain: Mapping[str, Any]) -> Entry:
                steps.append("r")
                return Entry.from_json(plain)

        know = Index.know

        def noticed(index: Index, entries: Iterable[Entry]) -> None:
            steps.append("k")
            know(index, entries)

        monkeypatch.setattr(ledger, "Entry", Noticed)
        monkeypatch.setattr(Index, "know", noticed)

        def meanwhile() -> None:
            # A segment without entries, and after it one with some.
            Ledger(LocalStore(root), run_id="0", shard=Shard(0, 2), clock=box.clock.now).write([])
            collect(box, root, shard=Shard(0, 2))
            steps.clear()

        ids = add(box, 12)
        collect(box, InterruptedStore(root, meanwhile=meanwhile, meanwhile_at=1), shard=Shard(1, 2))

        assert steps.count("r") == sum(map(Shard(0, 2).has, ids)) > 2
        assert "rrr" not in "".join(steps)


def test_much_is_stored_by_a_process_of_its_own_in_the_same_bytes(
    box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(box, 40)
    add(box, 5, Script.nobody_joined(list_times=False))
    collect(box, tmp_path / "here")
    started: list[bool] = []

    class Noticed(WriterProcess):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            started.append(True)
            super().__init__(*arguments, **settings)

    monkeypatch.setattr(storing, "WriterProcess", Noticed)
    monkeypatch.setattr(storing, "MUCH_TO_STORE", 46)
    collect(box, LocalStore(tmp_path / "few"))
    assert not started

    monkeypatch.setattr(storing, "MUCH_TO_STORE", 45)
    collect(box, LocalStore(tmp_path / "many"))
    assert started
    assert collecting.objects(tmp_path / "many") == collecting.objects(tmp_path / "here")


class StoreThatTells(LocalStore):
    """A local folder that tells of each raw object right before it is written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.raw_objects = 0
        self.changed = threading.Condition()

    def write(self, name: str, content: bytes) -> None:
        if name.startswith("raw/"):
            with self.changed:
                self.raw_objects += 1
                self.changed.notify_all()
        super().write(name, content)

    def begins_another_than(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.raw_objects > count, timeout=20)


def test_storing_goes_on_while_what_was_stored_is_noted(
    box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(box, 4)
    store = StoreThatTells(root)
    noted: list[bytes] = []

    class Copies(NoCopies):
        def store(self, bodies: Sequence[bytes]) -> None:
            noted.extend(bodies)
            assert len(noted) == 4 or store.begins_another_than(len(noted))

    monkeypatch.setattr(storing, "STORED_AT_A_TIME", 1)
    collect(box, store, copies=Copies())

    assert len(noted) == len(collecting.raw(root)) == 4


def test_what_could_not_be_noted_is_collected_again(box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = add(box, 4)

    class Broken(NoCopies):
        def store(self, bodies: Sequence[bytes]) -> None:
            raise Crash

    monkeypatch.setattr(storing, "STORED_AT_A_TIME", 1)
    with pytest.raises(Crash):
        collect(box, root, copies=Broken())
    assert not (root / "_ledger").exists()

    assert collect(box, root).collected == len(ids)
    collecting.tables_are_those_of_the_raw_objects(root)


def test_a_run_that_breaks_off_while_its_process_starts_leaves_none_behind(
    box: TavusBox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(box, 40)
    started: list[Popen[bytes]] = []

    class Noticed(WriterProcess):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            started.append(self._process)

    async def break_off(_: run.CollectionRun) -> None:
        await asyncio.sleep(0.05)
        raise Crash

    monkeypatch.setattr(storing, "MUCH_TO_STORE", 0)
    monkeypatch.setattr(storing, "WriterProcess", Noticed)
    monkeypatch.setattr(run.CollectionRun, "_report", break_off)
    with pytest.raises(Crash):
        collect(box, LocalStore(root))

    assert [process.returncode for process in started] == [0]


def test_shards_share_the_work_and_write_no_object_twice(box: TavusBox, root: Path) -> None:
    ids = add(box, 40)
    written: list[set[str]] = []
    for index in range(3):
        before = collecting.objects(root)
        certificate = collect(box, root, shard=Shard(index, 3))
        assert certificate.complete
        after = collecting.objects(root)
        assert before.items() <= after.items()
        written.append(after.keys() - before.keys())

    assert collecting.raw(root).keys() == set(ids)
    assert sorted(row["conversation_id"] for _, row in collecting.rows(root, "conversations")) == sorted(ids)
    assert all(written)
    assert box.count("get") == 40


def test_another_number_of_shards_is_refused_before_anything_is_asked_or_changed(box: TavusBox, root: Path) -> None:
    add(box, 3)
    collect(box, root)
    before, asked = collecting.objects(root, of_runs=True), box.count()
    with pytest.raises(ShardCountError, match="in 1 shards, not in 2"):
        collect(box, root, shard=Shard(0, 2))
    assert collecting.objects(root, of_runs=True) == before
    assert box.count() == asked


def test_any_file_system_will_do(box: TavusBox) -> None:
    ids = add(box, 30)
    memory = MemoryFileSystem()
    store = ObjectStore(memory, "/tavus-collection")
    try:
        assert collect(box, store).collected == 30
        assert collect(box, store).collected == 0
        assert len(memory.glob("/tavus-collection/raw/*/*.json")) == len(ids)
    finally:
        memory.rm("/tavus-collection", recursive=True)


@pytest.mark.parametrize(
    ("created_at", "date"),
    [
        ("1970-01-01T00:00:00Z", "1970-01-01"),
        ("0001-01-01T00:00:00Z", "0001-01-01"),
        ("2026-11-24T23:59:59.999999Z", "2026-11-24"),
        ("2026-11-24T23:30:00-01:00", "2026-11-25"),
        # As a float it would be in the year 10000.
        ("9999-12-31T23:59:59.999999Z", "9999-12-31"),
    ],
)
def test_any_moment_has_a_date_to_be_stored_under(created_at: str, date: str) -> None:
    moment = lenient.moment(created_at)
    assert moment
    assert partition_of(moment.timestamp()) == date


@pytest.mark.parametrize(
    "conversation_id", ["c/../../x", "C1", "c%41", "con.json", "ü" * 80, "c" * 300, "-", ".hidden"]
)
def test_any_id_has_a_safe_name_of_its_own(box: TavusBox, root: Path, conversation_id: str) -> None:
    ids = {conversation_id, conversation_id.lower(), conversation_id.lower() + "~"}
    for each in ids:
        box.add(Script.finished(), conversation_id=each, created_at=NOW - DAY)

    collect(box, root)

    assert collecting.raw(root).keys() == ids
    names = [file.name for file in root.glob("raw/*/*")]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(file.parent.parent.parent == root for file in root.glob("raw/**/*.json"))
