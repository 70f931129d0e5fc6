"""DAGs that conversations start by their events, on a real Airflow 3.3, with its parts killed and doubled."""

from __future__ import annotations

import json
import secrets
import statistics
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow_database import AirflowPostgres, postgres_if_there
from database_servers import PACKAGES
from real_airflow import RealAirflow
from snippets import blocks

from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "example_dags"
HAS_STATE_STORES = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 3)
(DOCUMENTED,) = [block for block in blocks("python") if block.watches]
INTERVAL = 10.0
TOKEN = secrets.token_urlsafe(32)
ENDING = 500 / 60
"""How many conversations end in a second, in the test of many."""
PATIENCE = 300.0
"""Seconds after which something does not come any more, on a busy machine."""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not HAS_STATE_STORES, reason="this Airflow keeps nothing for asset watchers: that came in 3.3"),
]


@pytest.fixture(scope="module")
def own_box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(api_key="canary-key-events") as box:
        yield box


@pytest.fixture(scope="module")
def own_airflow(tmp_path_factory: pytest.TempPathFactory, own_box: TavusBox) -> Iterator[RealAirflow]:
    """An Airflow of its own: watchers of the others' would ask the box for things that other tests count."""
    folder = tmp_path_factory.mktemp("dags")
    quicker = (EXAMPLES / "example_tavus_events_batch.py").read_text()
    for slow, quick in (('"*/15 * * * *"', '"* * * * *"'), ("timedelta(minutes=1)", "timedelta(seconds=5)")):
        assert slow in quicker
        quicker = quicker.replace(slow, quick)
    for name, text in (
        ("watched.py", (HERE / "events_dags" / "watched.py").read_text()),
        ("each.py", (EXAMPLES / "example_tavus_events.py").read_text()),
        ("batch.py", quicker),
        ("documented.py", DOCUMENTED.text),
    ):
        # The same watchers wherever the asset is.
        (folder / name).write_text(text.replace("poll_interval=60", f"poll_interval={INTERVAL}"))
    with (
        postgres_if_there() as database,
        RealAirflow(
            tmp_path_factory.mktemp("airflow"),
            dag_folders=[folder],
            connections={
                "tavus_default": {"conn_type": "tavus", "host": own_box.base_url, "password": own_box.api_key}
            },
            environment={"AIRFLOW__TAVUS__CALLBACK_TOKENS": TOKEN},
            database=database,
        ) as running,
    ):
        yield running


class Events:
    """What has become of the conversations, by Airflow's database."""

    def __init__(self, airflow: RealAirflow) -> None:
        self._airflow = airflow

    def stored(self, asset: str = "tavus_conversations") -> Counter[str]:
        """How many events each conversation has had."""
        joined = "asset_event JOIN asset ON asset.id = asset_event.asset_id"
        query = f"SELECT asset_event.extra FROM {joined} WHERE asset.name = ?"
        return Counter(conversation_of(extra) for (extra,) in self._airflow.database.rows(query, asset))

    def payload(self, conversation_id: str) -> dict[str, Any]:
        """What the event of a conversation says of it."""
        payloads = [
            as_json(extra)["payload"] for (extra,) in self._airflow.database.rows("SELECT extra FROM asset_event")
        ]
        return next(payload for payload in payloads if payload["conversation_id"] == conversation_id)

    def reached(self, dag_id: str) -> dict[str, list[float]]:
        """When runs of a DAG were created, by the conversations whose events they were given."""
        query = (
            "SELECT asset_event.extra, dag_run.queued_at FROM dag_run "
            "JOIN dagrun_asset_event ON dagrun_asset_event.dag_run_id = dag_run.id "
            "JOIN asset_event ON asset_event.id = dagrun_asset_event.event_id WHERE dag_run.dag_id = ?"
        )
        found: dict[str, list[float]] = {}
        for extra, created in self._airflow.database.rows(query, dag_id):
            found.setdefault(conversation_of(extra), []).append(epoch(created))
        return found

    def wait_until_reached(
        self, dag_id: str, conversations: Collection[str], timeout: float = PATIENCE
    ) -> dict[str, list[float]]:
        self._airflow.wait_for(
            f"{len(conversations)} conversations to reach {dag_id}",
            lambda: set(conversations) <= self.reached(dag_id).keys(),
            timeout,
        )
        return {one: created for one, created in self.reached(dag_id).items() if one in set(conversations)}

    def watches(self) -> int:
        """How many triggers there are that watch."""
        return len(self._airflow.database.rows("SELECT trigger_id FROM asset_watcher GROUP BY trigger_id"))


def conversation_of(extra: Any) -> str:
    return str(as_json(extra)["payload"]["conversation_id"])


def as_json(extra: Any) -> Any:
    return json.loads(extra) if isinstance(extra, str) else extra


def epoch(moment: datetime | str) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return moment.timestamp()


@pytest.fixture
def events(own_airflow: RealAirflow, own_box: TavusBox) -> Iterator[Events]:
    """The events of an Airflow that watches; every DAG but the one that does so is paused."""
    events = Events(own_airflow)
    unpause(own_airflow, "on_each")
    wait_for_the_watch(own_airflow, own_box)
    yield events
    own_box.stop_troubles()


def wait_for_the_watch(airflow: RealAirflow, box: TavusBox) -> None:
    """Wait until the list has been asked for by a watcher that is there from now on."""
    began = time.time()
    airflow.wait_for("a watcher to look", lambda: box.count("list", since=began), PATIENCE)


def unpause(airflow: RealAirflow, dag_id: str) -> None:
    airflow.unpause(dag_id)
    read_again(airflow)


def pause(airflow: RealAirflow, dag_id: str) -> None:
    airflow.pause(dag_id)
    read_again(airflow)


def read_again(airflow: RealAirflow) -> None:
    """Let the files of the DAGs be read: only then Airflow begins or ends to watch."""
    for file in (airflow.home / "dags").glob("*/*.py"):
        file.touch()


def told(what: str, latencies: Collection[float]) -> None:
    """Tell how long it took from the transcript to the run, for whoever reads the report."""
    ordered = sorted(latencies)
    times = {
        "median": statistics.median(ordered),
        "p90": ordered[int(0.9 * (len(ordered) - 1))],
        "longest": ordered[-1],
    }
    seconds = ", ".join(f"{name} {time:.2f} s" for name, time in times.items())
    print(f"{len(ordered)} conversations {what}, from transcript to run: {seconds}")  # noqa: T201


def add_ending_over(
    box: TavusBox,
    count: int,
    seconds: float,
    *,
    first: float = 5.0,
    lasting: float = 4.0,
    callback_url: str = "",
    name: str | None = None,
) -> dict[str, float]:
    """
    Let conversations end one after another, and return when each has its transcript.

    :param first: in how many seconds the first one ends.
    :param lasting: how long each takes; all begin from now on, as none is listed later than it begins.
    """
    assert lasting <= first
    now = box.clock.now()
    ready = {}
    for place in range(count):
        ends = now + first + place * seconds / count
        one = box.add(
            Script.finished(seconds=lasting, transcript_delay=1.0),
            created_at=ends - lasting,
            callback_url=callback_url,
            name=name,
        )
        ready[one] = ends + 1.0
    return ready


# First: the first run of a DAG is given all events since its file was read first.


def test_the_example_starts_a_run_for_each_conversation_and_clearing_it_starts_none_again(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    dispatcher, each = "example_tavus_events", "example_tavus_each_conversation"
    for dag_id in (dispatcher, each):
        unpause(own_airflow, dag_id)
    try:
        ready = add_ending_over(own_box, 6, 1.0)
        runs = own_airflow.wait_for_runs(each, 6, timeout=PATIENCE)
        assert sorted(runs) == sorted(f"tavus__{one}" for one in ready)
        for run_id in runs:
            assert own_airflow.wait_for_run(each, run_id) == "success"
            assert own_airflow.xcom(each, run_id, "read")["conversation_id"] == run_id.removeprefix("tavus__")

        for run_id in own_airflow.database.runs(dispatcher):
            assert own_airflow.wait_for_run(dispatcher, run_id) == "success"
            own_airflow.clear(dispatcher, run_id)
            assert own_airflow.wait_for_run(dispatcher, run_id) == "success"
            states = own_airflow.task_states(dispatcher, run_id)
            assert {states[task] for task in states if task != "runs"} == {"skipped"}
        assert sorted(own_airflow.database.runs(each)) == sorted(runs)
    finally:
        pause(own_airflow, dispatcher)


def test_the_documented_watcher_starts_its_dag_with_the_payload_that_is_told_of(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    (dag_id,) = DOCUMENTED.scheduled_dags
    unpause(own_airflow, dag_id)
    try:
        (one,) = add_ending_over(own_box, 1, 1.0)
        events.wait_until_reached(dag_id, [one])
        *_, run_id = own_airflow.database.runs(dag_id)
        assert own_airflow.wait_for_run(dag_id, run_id) == "success"
        assert one in own_airflow.xcom(dag_id, run_id, "tell")
    finally:
        pause(own_airflow, dag_id)

    (told_of,) = [json.loads(block.text) for block in blocks("json") if block.document.name == "events.md"]
    payload = events.payload(one)
    assert list(payload) == list(told_of)
    assert {name: type(payload[name]) for name in payload} == {name: type(told_of[name]) for name in told_of}


def test_each_of_many_conversations_reaches_the_dag_once_though_callbacks_go_astray_and_parts_die(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events, pytestconfig: pytest.Config
) -> None:
    habits = own_box.callbacks
    habits.scatter, habits.twice, habits.lost = 1.0, 0.2, 0.1
    count = pytestconfig.getoption("conversations")
    first, lasting = 30.0, count / ENDING
    began = time.time()
    ready = add_ending_over(own_box, count, lasting, first=first, lasting=25.0, callback_url=receiver(own_airflow))

    for part, at in ((own_airflow.triggerer, lasting / 3), (own_airflow.web, 2 * lasting / 3)):
        time.sleep(max(0.0, began + first + at - time.time()))
        part.kill()
        part.start()
    events.wait_until_reached("on_each", ready, 2 * PATIENCE)
    # For what should not come: it would be there by then.
    time.sleep(2 * INTERVAL)

    stored = events.stored()
    assert {one: stored[one] for one in ready} == dict.fromkeys(ready, 1)
    reached = events.wait_until_reached("on_each", ready, 1)
    assert {one: len(runs) for one, runs in reached.items()} == dict.fromkeys(ready, 1)
    told("with callbacks, triggerer and API server killed once each", [reached[one][0] - ready[one] for one in ready])
    answers = Counter(callback.status for callback in own_box.callbacks_sent if callback.conversation_id in ready)
    assert answers[200] > len(ready), "each is called back for its end and for its transcript"
    assert set(answers) <= {200, None}, "nobody answers while the API server is dead"


def test_with_callbacks_a_run_comes_within_seconds_and_without_within_an_interval(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    habits = own_box.callbacks
    habits.scatter, habits.twice, habits.lost = 0.0, 0.0, 0.0
    url = receiver(own_airflow)
    # As many in a second as in the test above.
    called = add_ending_over(own_box, 250, 250 / ENDING, first=30.0, lasting=25.0, callback_url=url)
    reached = events.wait_until_reached("on_each", called)
    with_callbacks = [reached[one][0] - called[one] for one in called]
    told("with callbacks", with_callbacks)

    quiet = add_ending_over(own_box, 60, 30.0, first=30.0, lasting=25.0)
    reached = events.wait_until_reached("on_each", quiet)
    without = [reached[one][0] - quiet[one] for one in quiet]
    told(f"without callbacks, an interval of {INTERVAL:.0f} s", without)

    # Generous: the machine may be busy. What it takes is told above.
    assert max(statistics.median(with_callbacks), statistics.median(without)) < 60


def test_a_callback_starts_a_run_while_the_triggerer_is_dead_and_its_successor_none_again(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    own_airflow.triggerer.kill()
    try:
        called = add_ending_over(own_box, 3, 1.0, callback_url=receiver(own_airflow))
        reached = events.wait_until_reached("on_each", called, 60)
        told("with callbacks and no triggerer", [reached[one][0] - called[one] for one in called])
    finally:
        own_airflow.triggerer.start()
    wait_for_the_watch(own_airflow, own_box)
    time.sleep(2 * INTERVAL)

    stored = events.stored()
    assert {one: stored[one] for one in called} == dict.fromkeys(called, 1)


def receiver(airflow: RealAirflow) -> str:
    return f"{airflow.address}/tavus/callbacks/{TOKEN}"


def test_batches_by_the_clock_have_each_conversation_once_also_after_a_pause(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    batch = "example_tavus_events_batch"
    unpause(own_airflow, batch)
    try:
        first = add_ending_over(own_box, 4, 20.0)
        wait_for_batches(own_airflow, first)
        pause(own_airflow, batch)
        # Longer than an interval of the clock, so that one is left out.
        missed = add_ending_over(own_box, 8, 75.0)
        events.wait_until_reached("on_each", missed)
        unpause(own_airflow, batch)
        later = add_ending_over(own_box, 2, 5.0)
        wait_for_batches(own_airflow, first | missed | later)
    finally:
        pause(own_airflow, batch)

    in_batches = Counter(batched(own_airflow))
    assert {one: in_batches[one] for one in first | missed | later} == dict.fromkeys(first | missed | later, 1)
    assert set(in_batches.values()) == {1}


def batched(airflow: RealAirflow) -> list[str]:
    """The conversations that batches have had."""
    dag_id = "example_tavus_events_batch"
    found = []
    for run_id in airflow.database.runs(dag_id):
        if airflow.run_state(dag_id, run_id) == "success":
            found += airflow.xcom(dag_id, run_id, "new_conversations")
    return found


def wait_for_batches(airflow: RealAirflow, conversations: Collection[str]) -> None:
    airflow.wait_for("batches to have them all", lambda: set(conversations) <= set(batched(airflow)), PATIENCE)


def test_what_comes_while_a_dag_is_paused_reaches_it_with_the_next_event(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    dag_id = "paused_meanwhile"
    unpause(own_airflow, dag_id)
    before = add_ending_over(own_box, 1, 1.0)
    events.wait_until_reached(dag_id, before)

    pause(own_airflow, dag_id)
    meanwhile = add_ending_over(own_box, 3, 3.0)
    events.wait_until_reached("on_each", meanwhile)
    unpause(own_airflow, dag_id)
    time.sleep(10)
    assert not set(meanwhile) & events.reached(dag_id).keys(), "Airflow has queued it although the DAG was paused"

    next_one = add_ending_over(own_box, 1, 1.0)
    reached = events.wait_until_reached(dag_id, meanwhile | next_one)
    pause(own_airflow, dag_id)
    assert {one: len(runs) for one, runs in reached.items()} == dict.fromkeys(meanwhile | next_one, 1)


def test_while_no_dag_is_there_to_watch_for_nothing_is_asked_and_nothing_is_missed(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    pause(own_airflow, "on_each")
    own_airflow.wait_for("nobody to watch", lambda: events.watches() == 0, 60)
    # What was under way may still be asked for.
    time.sleep(3)
    began = time.time()
    meanwhile = add_ending_over(own_box, 3, 3.0)
    time.sleep(2 * INTERVAL)
    assert not own_box.count(since=began)

    unpause(own_airflow, "on_each")
    reached = events.wait_until_reached("on_each", meanwhile)
    assert {one: len(runs) for one, runs in reached.items()} == dict.fromkeys(meanwhile, 1)


def test_a_dag_with_one_run_at_a_time_gets_what_waits_in_its_next_run(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    dag_id = "one_at_a_time"
    unpause(own_airflow, dag_id)
    # Each run takes 6 s, in which some more of them come, and none comes after the last run has begun.
    ready = add_ending_over(own_box, 12, 24.0)
    reached = events.wait_until_reached(dag_id, ready)
    pause(own_airflow, dag_id)

    assert {one: len(runs) for one, runs in reached.items()} == dict.fromkeys(ready, 1)
    assert len({created for (created,) in reached.values()}) < len(ready)


def test_a_second_scheduler_starts_no_run_twice(own_airflow: RealAirflow, own_box: TavusBox, events: Events) -> None:
    if not isinstance(own_airflow.database, AirflowPostgres):
        pytest.skip(
            "Airflow runs two schedulers on PostgreSQL or MySQL only, and there is no PostgreSQL on this machine: "
            f"install Debian's {PACKAGES['postgres']} (`make databases`)"
        )
    second = own_airflow.start_another_scheduler()
    try:
        alive = "SELECT count(*) FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'"
        own_airflow.wait_for("two schedulers", lambda: own_airflow.database.rows(alive)[0][0] >= 2, 60)
        ready = add_ending_over(own_box, 100, 30.0)
        reached = events.wait_until_reached("on_each", ready)
    finally:
        second.stop()
    assert {one: len(runs) for one, runs in reached.items()} == dict.fromkeys(ready, 1)


def test_a_new_triggerer_that_finds_nothing_new_fires_no_event(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    known = add_ending_over(own_box, 3, 1.0)
    events.wait_until_reached("on_each", known)
    before = events.stored()

    own_airflow.triggerer.kill()
    own_airflow.triggerer.start()
    began = time.time()
    own_airflow.wait_for("the new watcher to look twice", lambda: own_box.count("list", since=began) >= 2, 120)
    time.sleep(3)
    assert events.stored() == before


def test_watchers_of_one_connection_share_one_stream(
    own_airflow: RealAirflow, own_box: TavusBox, events: Events
) -> None:
    others = ("on_interviews", "on_lessons", "on_each_as_well")
    for dag_id in others:
        unpause(own_airflow, dag_id)
    try:
        # Airflow may make one trigger of two that are equal.
        own_airflow.wait_for("all to watch", lambda: events.watches() >= 3, 60)
        time.sleep(2 * INTERVAL)
        began = time.time()
        time.sleep(4 * INTERVAL)
        looks = own_box.count("list", since=began)
        # Each look is one page here, and every sixtieth a sweep.
        assert 3 <= looks <= 8

        interview = add_ending_over(own_box, 1, 1.0, name="Interview with Ada")
        lesson = add_ending_over(own_box, 1, 1.0, name="Lesson 1")
        events.wait_until_reached("on_interviews", interview)
        events.wait_until_reached("on_lessons", lesson)
        events.wait_until_reached("on_each_as_well", interview | lesson)
        events.wait_until_reached("on_each", interview | lesson)
        assert set(events.stored("interviews")) == set(interview)
        assert set(events.stored("lessons")) == set(lesson)
        assert max(events.stored("the_same_conversations").values()) == 1
    finally:
        for dag_id in others:
            pause(own_airflow, dag_id)
