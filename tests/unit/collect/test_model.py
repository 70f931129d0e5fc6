"""Whatever the service, the process and other runs do: in the end the destination is the truth, once each."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import collecting
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from airflow_provider_tavus.collect.forget import forget
from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.testing import ListView, ManualClock, Script, TavusBox, events
from airflow_provider_tavus.testing.bodies import read_body

START = 1_800_000_000.0
HOUR = 3600.0

SPELLINGS: list[dict[str, Any]] = [
    {},
    {"names": "new", "event_fractions": False},
    {"list_times": False},
    {"minimal": True},
    {"minimal": True, "list_times": False},
    {"event_order": "reversed", "reason_key": "reason"},
]
SCRIPTS = {
    "usual": Script.finished(),
    "before the end": Script.finished(transcript_delay=-1.0),
    "late": Script.finished(transcript_delay=120.0),
    "after its grace": Script.finished(transcript_delay=collecting.GRACE + 300.0),
    "never": Script.finished(transcript_delay=None),
    "twice": Script.finished(transcript_again=200.0),
    "analysed later": Script.finished(further_events=(events.perception_analysis(after=180.0),)),
    "recorded much later": Script.finished(further_events=(events.recording_ready(after=1500.0),)),
    "nobody": Script.nobody_joined(),
    "test mode": Script.test_mode(),
    "going on": Script.active(),
    "odd status": Script.finished(ended_status="error"),
}
FORMS: list[dict[str, Any]] = [
    {},
    {"formats": collecting.ALL_FORMATS},
    {"renderings": ("txt",)},
    {"formats": collecting.ALL_FORMATS[-1:], "renderings": ("txt", "vtt")},
]
ALL_FORMS: dict[str, Any] = {"formats": collecting.ALL_FORMATS, "renderings": ("txt", "vtt")}
FAULTS: list[dict[str, Any]] = [
    {"kind": "answer", "status": 503},
    {"kind": "answer", "status": 429, "retry_after": 0},
    {"kind": "not_json"},
    {"kind": "cut"},
    {"kind": "reset"},
]


class Collections(RuleBasedStateMachine):
    """A box, a destination, and whatever can happen to both."""

    conversations = Bundle("conversations")

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.box = self._stack.enter_context(TavusBox.in_thread(clock=ManualClock(START)))
        self.root = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.removed: set[str] = set()
        self.forgotten: set[str] = set()
        self.shards = 1
        self.forms: dict[str, Any] = {}

    @initialize(shards=st.sampled_from([1, 1, 3]))
    def the_work_is_shared(self, shards: int) -> None:
        self.shards = shards

    # The world

    @rule(
        target=conversations,
        kind=st.sampled_from(sorted(SCRIPTS)),
        spelling=st.sampled_from(SPELLINGS),
        age=st.sampled_from([-120.0, 0.0, 30.0, 300.0, HOUR, 30 * HOUR, 240 * HOUR]),
        count=st.sampled_from([1, 1, 1, 3, 25]),
    )
    def conversations_begin(self, kind: str, spelling: dict[str, Any], age: float, count: int) -> Any:
        now, script = self.box.clock.now(), SCRIPTS[kind].but(**spelling)
        return multiple(*(self.box.add(script, created_at=now - age - 7 * each) for each in range(count)))

    @rule(seconds=st.sampled_from([1.0, 20.0, 90.0, 400.0, 2 * HOUR, 30 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.box.advance(seconds)

    @rule(which=conversations)
    def one_ends(self, which: str) -> None:
        if which not in self.removed:
            self.box.end(which)

    @rule(which=conversations)
    def one_is_deleted_at_tavus(self, which: str) -> None:
        if which not in self.removed:
            self.box.remove(which)
            self.removed.add(which)

    @rule(
        order=st.sampled_from(["newest", "oldest", "random", "shuffled"]),
        cap=st.sampled_from([None, 3, 10]),
        lag=st.sampled_from([0.0, 0.0, 60.0]),
    )
    def the_list_is_shown_otherwise(self, order: Any, cap: int | None, lag: float) -> None:
        self.box.account.list_view = ListView(order=order, limit_cap=cap, lag=lag)

    @rule(fault=st.sampled_from(FAULTS), route=st.sampled_from(["list", "get", None]), after=st.integers(0, 6))
    def the_service_has_a_fault(self, fault: dict[str, Any], route: str | None, after: int) -> None:
        self.box.trouble(**fault, route=route, after=after, times=1)

    @rule(after=st.integers(0, 4), come=st.integers(0, 2), finish=st.integers(0, 2))
    def pages_shift_while_they_are_read(self, after: int, come: int, finish: int) -> None:
        self.box.trouble("list_churn", come=come, finish=finish, after=after, times=3)

    # Runs

    @rule(forms=st.sampled_from(FORMS))
    def other_forms_are_asked_for(self, forms: dict[str, Any]) -> None:
        self.forms = forms

    @rule(sweep=st.booleans())
    def a_run(self, sweep: bool) -> None:
        self._collect_all(sweep=sweep)

    @rule(crash_at=st.integers(1, 60), sweep=st.booleans(), retry=st.booleans())
    def a_run_that_crashes(self, crash_at: int, sweep: bool, retry: bool) -> None:
        with suppress(collecting.Crash):
            self._collect(sweep=sweep, crash_at=crash_at)
        if retry:
            self._collect(sweep=sweep)

    @rule(
        at=st.integers(1, 40),
        seconds=st.sampled_from([0.0, 30.0, 150.0, HOUR]),
        sweep=st.booleans(),
        fault=st.booleans(),
        dies_after=st.none() | st.integers(1, 30),
    )
    def a_run_with_another_one_in_the_middle_of_it(
        self, at: int, seconds: float, sweep: bool, fault: bool, dies_after: int | None
    ) -> None:
        def meanwhile() -> None:
            self.box.advance(seconds)
            self.box.add(Script.finished(), created_at=self.box.clock.now() - 100.0)
            self._collect(sweep=sweep, shard=at % self.shards)
            if fault:
                self.box.trouble(status=500, route="get", times=1)

        crash_at = None if dies_after is None else at + dies_after
        with suppress(collecting.Crash):
            self._collect(sweep=True, meanwhile=meanwhile, meanwhile_at=at, crash_at=crash_at)

    @rule(days=st.integers(2, 4), crash_at=st.none() | st.integers(1, 60))
    def a_back_fill_of_some_days(self, days: int, crash_at: int | None) -> None:
        # Airflow runs it once for each date, all at once or one after another.
        def all_others() -> None:
            for _ in range(days - 1):
                self._collect_all(sweep=False)

        with suppress(collecting.Crash):
            self._collect(sweep=False, meanwhile=all_others, meanwhile_at=1, crash_at=crash_at)

    @rule(which=conversations, crash_at=st.none() | st.integers(1, 12))
    def one_is_forgotten(self, which: str, crash_at: int | None) -> None:
        with suppress(collecting.Crash):
            self._forget(which, crash_at=crash_at)
        self._forget(which)
        self.forgotten.add(which)

    @rule(which=conversations, at=st.integers(1, 40), dies_after=st.none() | st.integers(1, 30))
    def one_is_forgotten_beside_a_run(self, which: str, at: int, dies_after: int | None) -> None:
        def meanwhile() -> None:
            self._forget(which)
            self.forgotten.add(which)

        crash_at = None if dies_after is None else at + dies_after
        with suppress(collecting.Crash):
            self._collect(sweep=True, meanwhile=meanwhile, meanwhile_at=at, crash_at=crash_at)

    def _forget(self, which: str, *, root: Path | None = None, **interrupted: Any) -> None:
        store = collecting.InterruptedStore(root or self.root, **interrupted)
        forget(which, store=store, clock=self.box.clock.now)

    def _collect_all(self, *, sweep: bool, root: Path | None = None) -> list[Any]:
        return [self._collect(sweep=sweep, shard=index, root=root) for index in range(self.shards)]

    def _collect(self, *, sweep: bool, shard: int = 0, root: Path | None = None, **interrupted: Any) -> Any:
        return collecting.collect(
            self.box,
            collecting.InterruptedStore(root or self.root, **interrupted),
            retries=0,
            sweep_interval=0.0 if sweep else 86_400.0,
            lookback=HOUR,
            shard=Shard(shard, self.shards),
            **self.forms,
        )

    @invariant()
    def every_object_is_whole_and_there_once(self) -> None:
        collecting.raw(self.root)

    def teardown(self) -> None:
        try:
            self.box.stop_troubles()
            self.box.account.list_view = ListView()
            self.forms = ALL_FORMS
            # Where nothing tells when a conversation ended, its periods count from the first look.
            for _ in range(2):
                self.box.advance(2 * collecting.SETTLE)
                certificates = self._collect_all(sweep=True)
            self._the_destination_is_the_truth()
            self._the_certificates_are_the_truth(certificates)
            before = collecting.objects(self.root)
            again = self._collect_all(sweep=True)
            assert sum(certificate.collected for certificate in again) == 0
            assert collecting.objects(self.root) == before
            self._an_empty_folder_comes_to_the_same_bytes()
        finally:
            self._stack.close()

    def _the_destination_is_the_truth(self) -> None:
        now = self.box.clock.now()
        stored = collecting.raw(self.root)
        truth = {each.conversation_id: each for each in self.box.world if each.created_at <= now}
        over = {
            each: read_body(it, now, verbose=True)
            for each, it in truth.items()
            if it.is_over(now) and each not in self.forgotten
        }
        assert {each: stored.get(each) for each in over} == over
        # What was deleted at Tavus after it was collected stays; of nothing else is there anything.
        assert stored.keys() - over.keys() <= self.removed - self.forgotten
        collecting.tables_are_those_of_the_raw_objects(self.root, shards=self.shards)

    def _the_certificates_are_the_truth(self, certificates: list[Any]) -> None:
        now = self.box.clock.now()
        there = [each for each in self.box.world if each.created_at <= now]
        assert all(certificate.complete for certificate in certificates)
        assert sum(certificate.listed for certificate in certificates) == len(there)
        assert sum(certificate.ended for certificate in certificates) >= sum(each.is_over(now) for each in there)
        assert sum(certificate.pending for certificate in certificates) == 0

    def _an_empty_folder_comes_to_the_same_bytes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for each in self.forgotten:
                self._forget(each, root=Path(folder))
            # Here, too, periods count from the first look where nothing tells of an end.
            self._collect_all(sweep=True, root=Path(folder))
            self.box.advance(2 * collecting.SETTLE)
            self._collect_all(sweep=True, root=Path(folder))
            # What was deleted at Tavus cannot be had again: it is left out of this, with its dates.
            dates = {
                file.parent.name
                for file in self.root.glob("raw/*/*.json")
                if json.loads(file.read_bytes())["conversation_id"] in self.removed
            }
            assert _objects_of_other_dates(Path(folder), dates) == _objects_of_other_dates(self.root, dates)


def _objects_of_other_dates(root: Path, dates: set[str]) -> dict[str, bytes]:
    return {name: content for name, content in collecting.objects(root).items() if name.split("/")[1] not in dates}


TestCollections = pytest.mark.long(Collections.TestCase)
TestCollections.settings = settings(
    max_examples=25,
    stateful_step_count=18,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
)
