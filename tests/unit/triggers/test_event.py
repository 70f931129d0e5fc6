from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import ListView, Script
from airflow_provider_tavus.triggers import event_state, watch
from airflow_provider_tavus.triggers.event import ConversationEventTrigger
from airflow_provider_tavus.triggers.event_state import Progress
from airflow_provider_tavus.triggers.polls import carry_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_tavus.testing import TavusBox

pytestmark = pytest.mark.usefixtures("connect")

HOUR = 3600.0


def hour(moment: float | str) -> str:
    """The hour of a moment as the keys of the state store have it."""
    if isinstance(moment, float):
        moment = datetime.fromtimestamp(moment, UTC).isoformat()
    return moment[:13]


class AssetStore:
    """The state store of an asset, as Airflow hands it to a trigger; what is stored is JSON."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.written: list[str] = []
        self.asked_for: list[str] = []
        self.is_down = False
        self.takes = 0.0
        """Seconds that an answer takes."""
        self.on_claim: Callable[[list[str]], object] = lambda _: None
        """Called with what is about to be claimed, while whoever claims it waits."""

    async def aget(self, key: str, default: Any = None) -> Any:
        self._be_up()
        await asyncio.sleep(self.takes)
        self.asked_for.append(key)
        return json.loads(self.kept[key]) if key in self.kept else default

    async def aset(self, key: str, value: Any) -> None:
        self._be_up()
        await asyncio.sleep(self.takes)
        if key.endswith("/claimed"):
            self.on_claim(value)
        self.written.append(key)
        self.kept[key] = json.dumps(value)

    async def adelete(self, key: str) -> None:
        self._be_up()
        self.kept.pop(key, None)

    def _be_up(self) -> None:
        if self.is_down:
            raise RuntimeError("the state store is down")

    def store_event(self, conversation_id: str, created_at: float | str) -> None:
        """Do what the listener does where Airflow stores an event."""
        key = f"tavus/settled/{hour(created_at)}"
        self.kept[key] = json.dumps([*json.loads(self.kept.get(key, "[]")), conversation_id])

    def claimed(self) -> list[str]:
        """Return whom the only watcher has claimed."""
        (kept,) = (value for key, value in self.kept.items() if key.endswith("/claimed"))
        return list(json.loads(kept))

    def progress(self) -> dict[str, Any]:
        """Return how far the only watcher has come."""
        (kept,) = (value for key, value in self.kept.items() if key.endswith("/progress"))
        return dict(json.loads(kept))


class Triggerer:
    """Runs triggers as a triggerer does, until nothing more is to be expected."""

    def __init__(self, box: TavusBox) -> None:
        self.box = box
        self.store = AssetStore()

    def trigger(self, *, keeps_state: bool = True, **arguments: Any) -> ConversationEventTrigger:
        trigger = ConversationEventTrigger(**{"poll_interval": 0.2} | arguments)
        if keeps_state:
            trigger.asset_state_store = SimpleNamespace(_by_name={"calls": self.store}, _by_uri={})  # type: ignore[assignment]
        return trigger

    async def run(
        self,
        *triggers: ConversationEventTrigger,
        expected: int,
        stored: bool = True,
        killed: bool = False,
        meanwhile: Callable[[], Any] = lambda: None,
        until: Callable[[], bool] = lambda: True,
    ) -> list[dict[str, Any]]:
        """
        Return the ``expected`` events, and whatever comes in five further looks.

        :param triggers: the default one if none is given.
        :param stored: whether the events are stored.
        :param killed: be killed at once when the expected events were yielded.
        :param meanwhile: called when the triggers have looked for the first time.
        :param until: what must have happened, too.
        """
        fired: list[dict[str, Any]] = []
        all_came = asyncio.Event()

        async def run(one: ConversationEventTrigger) -> None:
            async with aclosing(one.run()) as events:  # type: ignore[type-var]
                async for event in events:
                    fired.append(event.payload)
                    if stored:
                        self.store.store_event(event.payload["conversation_id"], event.payload["created_at"])
                    if len(fired) >= expected:
                        all_came.set()
                        if killed:
                            return

        tasks = [asyncio.create_task(run(one)) for one in triggers or [self.trigger()]]
        try:
            async with asyncio.timeout(30):
                if not killed:
                    await self.looks(3)
                meanwhile()
                if expected:
                    await all_came.wait()
                await self.until(until)
                if not killed:
                    await self.looks(5)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
        return fired

    async def looks(self, number: int) -> None:
        """Wait until there were so many further looks."""
        so_far = self._looks_so_far()
        await self.until(lambda: self._looks_so_far() >= so_far + number)

    def _looks_so_far(self) -> int:
        return sum(
            request.query["page"] == "1" and "status" not in request.query for request in self.box.requests_of("list")
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to hold."""
        while not condition():  # noqa: ASYNC110 - the box is in another thread
            await asyncio.sleep(0.02)


@pytest.fixture
def triggerer(box: TavusBox) -> Triggerer:
    return Triggerer(box)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the watchers write into the log."""
    told: list[str] = []
    log = SimpleNamespace(info=lambda _, sentence: told.append(sentence))
    monkeypatch.setattr(ConversationEventTrigger, "log", log, raising=False)
    return told


def sweeps(box: TavusBox) -> int:
    return sum(request.query.get("status") == "active" for request in box.requests_of("list"))


def ids(fired: Iterable[dict[str, Any]]) -> list[str]:
    return [payload["conversation_id"] for payload in fired]


def begun(
    store: AssetStore, ago: float = HOUR, watcher: ConversationEventTrigger | None = None, **changes: Any
) -> None:
    """Let the watcher have begun some time ago."""
    began = time.time() - ago
    progress = Progress(began, changes.pop("watched_from", began), changes.pop("open", {}))
    name = (watcher or ConversationEventTrigger()).name_in_the_state
    store.kept[f"tavus/{name}/progress"] = json.dumps(progress.as_plain())


def test_its_arguments_are_plain_json_and_make_the_same_trigger() -> None:
    original = ConversationEventTrigger(
        wait_for=[], conversation_name="Interview *", pal_id="p1", tavus_conn_id="other"
    )

    class_path, arguments = original.serialize()
    module, _, name = class_path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert rebuilt.serialize() == original.serialize()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"poll_interval": 0}, "poll_interval must be above 0"),
        ({"wait_for": "transcript"}, "no event type"),
        ({"grace_period": -1}, "grace_period"),
        ({"pal_id": ["p1", "p2"]}, "pal_id must be text, not list: for each of several, add a watcher"),
        ({"conversation_name": 7}, "conversation_name must be text, not int"),
        ({"face_id": ""}, "face_id is empty"),
        ({"pal_id": "{{ var.value.pal }}"}, "pal_id is a template"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConversationEventTrigger(**wrong)


def test_calls_without_a_name_can_be_watched_for() -> None:
    assert ConversationEventTrigger(conversation_name="").conversation_name == ""


def test_watchers_share_a_stream_if_they_look_equally_often_over_one_connection() -> None:
    key = ConversationEventTrigger().shared_stream_key()

    assert ConversationEventTrigger(pal_id="p1", wait_for=[], grace_period=5).shared_stream_key() == key
    assert ConversationEventTrigger(poll_interval=7).shared_stream_key() != key
    assert ConversationEventTrigger(tavus_conn_id="other").shared_stream_key() != key


async def test_a_conversation_that_becomes_ready_gets_one_event(box: TavusBox, triggerer: Triggerer) -> None:
    box.add(Script.finished(seconds=0.5, transcript_delay=0.2), conversation_id="c1")

    (payload,) = await triggerer.run(expected=1)

    assert list(payload) == [
        "conversation_id", "pal_id", "face_id", "status", "state", "shutdown_reason", "created_at", "ended_at",
        "ready_at",
    ]  # fmt: skip
    assert payload["conversation_id"] == "c1"
    assert (payload["status"], payload["state"]) == ("ended", "ready")
    assert payload["shutdown_reason"] == "participant_left_timeout"
    assert payload["created_at"] < payload["ended_at"] < payload["ready_at"]


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_a_row_of_whatever_time_is_in_no_others_way(created_at: str, box: TavusBox, triggerer: Triggerer) -> None:
    begun(triggerer.store)
    box.add(Script.finished(seconds=1), conversation_id="c1", created_at=time.time() - 60)
    now = datetime.now(UTC).isoformat()
    rows = [
        {"conversation_id": conversation_id, "status": "ended", "created_at": moment}
        for conversation_id, moment in [("c-odd", created_at), ("c1", now)]
    ]
    box.trouble(status=200, body={"data": rows, "total_count": 2}, route="list")

    assert ids(await triggerer.run(expected=1)) == ["c1"]


async def test_events_say_nothing_of_what_was_said_and_no_secret(box: TavusBox, triggerer: Triggerer) -> None:
    box.add(
        Script.finished(seconds=0.1, transcript_delay=0.0), conversation_id="c1", callback_url="https://x.example/t"
    )

    told = json.dumps(await triggerer.run(expected=1))

    conversation = box.conversation("c1")
    for secret in (box.api_key, box.base_url, "x.example", *(turn.content for turn in conversation.script.turns)):  # type: ignore[union-attr]
        assert str(secret) not in told


async def test_a_call_that_went_on_when_the_watch_began_gets_its_event(box: TavusBox, triggerer: Triggerer) -> None:
    box.add(Script.active(), conversation_id="c1", created_at=time.time() - 5 * HOUR)

    fired = await triggerer.run(expected=1, meanwhile=lambda: box.end("c1"))

    assert ids(fired) == ["c1"]


async def test_the_state_store_is_not_asked_about_calls_that_go_on(box: TavusBox, triggerer: Triggerer) -> None:
    for _ in range(5):
        box.add(Script.active())

    assert await triggerer.run(expected=0) == []

    assert all(key.endswith("/progress") for key in triggerer.store.asked_for)


async def test_a_restart_asks_the_state_store_once_for_all_that_were_created_in_an_hour(
    box: TavusBox, triggerer: Triggerer
) -> None:
    # Each question is a turn of the triggerer's loop: hundreds would hold up the first event.
    begun(triggerer.store, ago=3 * HOUR)
    created_at = time.time() - 2 * HOUR
    for _ in range(40):
        triggerer.store.store_event(box.add(Script.finished(seconds=1), created_at=created_at), created_at)
    (late,) = [box.add(Script.finished(seconds=1), created_at=created_at)]

    assert ids(await triggerer.run(expected=1)) == [late]

    assert triggerer.store.asked_for.count(f"tavus/settled/{hour(created_at)}") <= 2, (
        "before it is read, and before the event"
    )
    assert box.count(route="get") == 1


async def test_events_that_come_together_share_the_question_whether_somebody_else_was_quicker(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    created_at = time.time() - 60
    calls = [box.add(Script.active(), created_at=created_at) for _ in range(20)]

    def end() -> None:
        for call in calls:
            box.end(call)

    triggerer.store.takes = 0.1
    assert sorted(ids(await triggerer.run(expected=20, meanwhile=end))) == sorted(calls)
    assert triggerer.store.asked_for.count(f"tavus/settled/{hour(created_at)}") <= 10


async def test_whoever_gets_an_event_is_claimed_before_and_until_it_is_stored(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    first, second = (box.add(Script.active()) for _ in range(2))

    assert ids(await triggerer.run(expected=1, stored=False, killed=True, meanwhile=lambda: box.end(first))) == [first]
    assert triggerer.store.claimed() == [first]

    fired = await triggerer.run(expected=2, meanwhile=lambda: box.end(second))
    assert sorted(ids(fired)) == sorted([first, second])
    third = box.add(Script.active())
    await triggerer.run(expected=1, meanwhile=lambda: box.end(third))
    assert triggerer.store.claimed() == [third]


async def test_whose_event_is_stored_just_before_it_is_claimed_has_no_other(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    calls = [box.add(Script.active()) for _ in range(4)]
    (quicker, *others), store = calls, triggerer.store

    def store_first(claimed: list[str]) -> None:
        # As the receiver of callbacks does, for whom whoever claims waits.
        if quicker in claimed and quicker not in json.dumps(store.kept):
            store.store_event(quicker, box.conversation(quicker).created_at)

    def end() -> None:
        for call in calls:
            box.end(call)

    store.on_claim = store_first
    assert sorted(ids(await triggerer.run(expected=3, meanwhile=end))) == sorted(others)


async def test_what_was_ready_before_the_watch_first_began_is_history(box: TavusBox, triggerer: Triggerer) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - HOUR / 2)
    box.add(Script.finished(), conversation_id="c2", created_at=time.time() - 30 * HOUR)

    assert await triggerer.run(expected=0) == []
    assert await triggerer.run(expected=0) == []


@pytest.mark.parametrize("keeps_state", [True, False])
async def test_what_was_over_before_the_watch_began_is_history_although_it_tells_no_time(
    keeps_state: bool, box: TavusBox, triggerer: Triggerer
) -> None:
    # One in test mode has no event of its end.
    box.add(Script.test_mode(), conversation_id="c-before", created_at=time.time() - HOUR / 2)

    def watcher() -> ConversationEventTrigger:
        return triggerer.trigger(keeps_state=keeps_state, wait_for=[])

    assert await triggerer.run(watcher(), expected=0, until=lambda: box.count("get", "c-before") > 0) == []
    fired = await triggerer.run(
        watcher(), expected=1, meanwhile=lambda: box.add(Script.test_mode(), conversation_id="c-after")
    )
    assert ids(fired) == ["c-after"]


async def test_what_had_ended_before_and_becomes_ready_afterwards_gets_its_event(
    box: TavusBox, triggerer: Triggerer
) -> None:
    box.add(Script.finished(seconds=60, transcript_delay=60.8), conversation_id="c1", created_at=time.time() - 120)

    assert ids(await triggerer.run(expected=1)) == ["c1"]


async def test_a_restart_repeats_nothing_and_misses_nothing(box: TavusBox, triggerer: Triggerer) -> None:
    begun(triggerer.store)
    for number in range(5):
        box.add(Script.finished(seconds=1), conversation_id=f"c{number}", created_at=time.time() - 100 + number)

    first = await triggerer.run(expected=2, killed=True)
    meanwhile = box.add(Script.finished(seconds=1), created_at=time.time() - 50)
    second = await triggerer.run(expected=4)
    third = await triggerer.run(expected=0)

    assert ids(first) == ["c0", "c1"]
    assert ids(second) == ["c2", "c3", "c4", meanwhile]
    assert third == []


async def test_an_event_that_was_yielded_and_never_stored_comes_again(box: TavusBox, triggerer: Triggerer) -> None:
    begun(triggerer.store)
    box.add(Script.finished(seconds=1), conversation_id="c1", created_at=time.time() - 60)

    assert ids(await triggerer.run(expected=1, stored=False)) == ["c1"]
    assert ids(await triggerer.run(expected=1)) == ["c1"]
    assert await triggerer.run(expected=0) == []


async def test_where_no_listener_tells_that_it_was_stored_the_watch_notes_it_itself(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STORED_WITHIN", 0.3)
    begun(triggerer.store)
    box.add(Script.finished(seconds=1), conversation_id="c1", created_at=time.time() - 60)

    assert ids(await triggerer.run(expected=1, stored=False)) == ["c1"]
    assert await triggerer.run(expected=0) == []


async def test_whom_a_watcher_settles_at_the_same_moment_it_keeps_both() -> None:
    store = AssetStore()
    store.takes = 0.01
    state = event_state.StateOfAssets([store], "watcher")

    await asyncio.gather(*(state.settle("2026-11-23T07", {one: "nobody_joined"}) for one in ("c1", "c2")))

    assert await event_state.StateOfAssets([store], "watcher").settled("2026-11-23T07") == {"c1", "c2"}


async def test_those_that_waited_come_in_the_order_in_which_they_became_ready(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    delays = [50, 10, 40, 20, 30, 5, 45, 15, 35, 25]
    for number, delay in enumerate(delays):
        script = Script.finished(seconds=1, transcript_delay=delay)
        box.add(script, conversation_id=f"c{number}", created_at=time.time() - 100)

    fired = await triggerer.run(expected=10)

    assert ids(fired) == [f"c{delays.index(delay)}" for delay in sorted(delays)]


async def test_one_whose_results_never_come_gets_no_event_and_is_not_looked_at_for_ever(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    box.add(Script.nobody_joined(seconds=1), conversation_id="c1", created_at=time.time() - 60)

    watcher = triggerer.trigger(grace_period=5)
    assert await triggerer.run(watcher, expected=0, until=lambda: box.count(route="get") > 0) == []
    assert box.count(conversation_id="c1") == 1
    assert await triggerer.run(triggerer.trigger(grace_period=5), expected=0) == []
    assert box.count(conversation_id="c1") == 1


async def test_a_watch_without_a_state_store_begins_anew_with_its_process(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_state, "CLOCKS_DIFFER_BY", 0.0)
    box.add(Script.finished(seconds=0.1), conversation_id="c1")
    watcher = triggerer.trigger(keeps_state=False)

    first = await triggerer.run(watcher, expected=1)
    call = box.add(Script.active())
    second = await triggerer.run(triggerer.trigger(keeps_state=False), expected=1, meanwhile=lambda: box.end(call))

    assert (ids(first), ids(second)) == (["c1"], [call])


async def test_only_those_with_the_wanted_labels_get_events(box: TavusBox, triggerer: Triggerer) -> None:
    watcher = triggerer.trigger(conversation_name="Interview *", pal_id="p1")
    begun(triggerer.store, watcher=watcher)
    for conversation_id, name, pal in [("c1", "Interview 1", "p1"), ("c2", "Demo", "p1"), ("c3", "Interview 2", "p2")]:
        box.add(
            Script.finished(seconds=1),
            conversation_id=conversation_id,
            created_at=time.time() - 60,
            name=name,
            persona_id=pal,
        )

    fired = await triggerer.run(watcher, expected=1)

    assert ids(fired) == ["c1"]
    assert box.count(route="get") == 1


async def test_the_end_alone_can_be_waited_for(box: TavusBox, triggerer: Triggerer) -> None:
    watcher = triggerer.trigger(wait_for=[])
    begun(triggerer.store, watcher=watcher)
    box.add(Script.nobody_joined(seconds=1), conversation_id="c1", created_at=time.time() - 60)

    (payload,) = await triggerer.run(watcher, expected=1)

    assert payload["shutdown_reason"] == "participant_absent_timeout"


async def test_an_account_that_cannot_be_reached_is_watched_again_when_it_can(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    box.add(Script.finished(seconds=1), conversation_id="c1", created_at=time.time() - 60)
    box.trouble("answer", status=503, times=4)

    assert ids(await triggerer.run(expected=1)) == ["c1"]


async def test_nobody_is_missed_though_the_account_cannot_be_reached_for_longer_than_is_watched_back(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOKBACK", 2.0)
    monkeypatch.setattr(watch, "SAVE_INTERVAL", 0.0)
    begun(triggerer.store, ago=1.0)

    def be_away() -> None:
        box.trouble(status=401, lasting=5.0)
        box.add(Script.finished(seconds=0.1), conversation_id="c1")

    assert ids(await triggerer.run(expected=1, meanwhile=be_away)) == ["c1"]


async def test_a_key_that_was_rotated_is_read_again(
    box: TavusBox, triggerer: Triggerer, connect: Callable[..., str]
) -> None:
    call = box.add(Script.active())

    def rotate() -> None:
        box.api_key = "canary-key-rotated-7d2f"
        connect()
        box.end(call)

    assert ids(await triggerer.run(expected=1, meanwhile=rotate)) == [call]


async def test_without_the_state_store_nothing_is_done_and_with_it_everything(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    box.add(Script.finished(seconds=1), conversation_id="c1", created_at=time.time() - 60)
    triggerer.store.is_down = True

    def come_up() -> None:
        assert box.count(route="get") == 0
        triggerer.store.is_down = False

    assert ids(await triggerer.run(expected=1, meanwhile=come_up)) == ["c1"]


async def test_a_conversation_that_was_deleted_is_watched_no_more(box: TavusBox, triggerer: Triggerer) -> None:
    call = box.add(Script.active())

    fired = await triggerer.run(
        expected=0, meanwhile=lambda: box.remove(call), until=lambda: box.count(route="get") > 0
    )

    assert fired == []
    assert box.count(route="get") <= 2, "until the list has been read again, it is taken to be there"


async def test_a_wait_that_breaks_for_whatever_reason_is_told_of_and_begun_again(
    box: TavusBox, triggerer: Triggerer, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[str] = []

    async def breaks_twice(*how: Any) -> None:
        if len(broken) < 2:
            broken.append("once")
            raise OSError("a file is away")
        await carry_out(*how)

    monkeypatch.setattr(watch, "carry_out", breaks_twice)
    box.add(Script.active(), conversation_id="c1")

    assert ids(await triggerer.run(expected=1, meanwhile=lambda: box.end("c1"))) == ["c1"]
    assert len(broken) == 2
    assert "The watch does not go on, trying again at each look: OSError: a file is away" in told


def four_calls_of_three_days(box: TavusBox) -> list[str]:
    """Let calls have ended while a watcher was away that had watched up to four days ago."""
    return [
        box.add(Script.finished(seconds=60), conversation_id=f"c-{hours}-hours", created_at=time.time() - hours * HOUR)
        for hours in (60, 48, 36, 12)
    ]


@pytest.mark.parametrize(
    ("another_looks", "takes"), [(True, 0.0), (False, 0.3)], ids=["another one looks", "slow state store"]
)
async def test_a_watcher_that_was_away_for_days_and_begins_after_a_look_misses_nothing(
    another_looks: bool, takes: float, box: TavusBox, triggerer: Triggerer
) -> None:
    shared_stream = pytest.importorskip("airflow.triggers.shared_stream", reason="below 3.3 each looks for itself")
    calls = four_calls_of_three_days(box)
    begun(triggerer.store, ago=240 * HOUR, watched_from=time.time() - 96 * HOUR)
    triggerer.store.takes = takes
    manager = shared_stream.SharedStreamManager()
    fired: list[dict[str, Any]] = []

    async def begin(number: int, trigger: ConversationEventTrigger) -> None:
        stream = manager.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
        async for event in trigger.filter_shared_stream(stream):
            fired.append(event.payload)
            triggerer.store.store_event(event.payload["conversation_id"], event.payload["created_at"])

    tasks = []
    try:
        async with asyncio.timeout(30):
            if another_looks:
                tasks.append(asyncio.create_task(begin(1, triggerer.trigger(keeps_state=False, pal_id="p-other"))))
                await triggerer.looks(3)
            tasks.append(asyncio.create_task(begin(2, triggerer.trigger())))
            await triggerer.until(lambda: len(fired) >= len(calls))
            triggerer.store.takes = 0.0
            await triggerer.looks(5)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert sorted(ids(fired)) == sorted(calls)
    assert triggerer.store.progress()["watched_from"] > datetime.fromtimestamp(time.time() - 25 * HOUR, UTC).isoformat()


async def test_a_watcher_that_was_away_for_days_and_whose_state_cannot_be_had_at_once_misses_nothing(
    box: TavusBox, triggerer: Triggerer
) -> None:
    calls = four_calls_of_three_days(box)
    begun(triggerer.store, ago=240 * HOUR, watched_from=time.time() - 96 * HOUR)
    triggerer.store.is_down = True

    fired = await triggerer.run(expected=4, meanwhile=lambda: setattr(triggerer.store, "is_down", False))

    assert sorted(ids(fired)) == sorted(calls)


async def test_a_call_longer_than_the_lookback_is_not_lost_over_a_restart(box: TavusBox, triggerer: Triggerer) -> None:
    call = box.add(Script.active(), created_at=time.time() - 30 * HOUR)
    begun(triggerer.store, ago=31 * HOUR)

    assert await triggerer.run(expected=0) == []
    assert triggerer.store.progress()["open"].keys() == {call}
    box.end(call)

    # It dies before the event is stored.
    assert ids(await triggerer.run(expected=1, stored=False)) == [call]
    assert ids(await triggerer.run(expected=1)) == [call]
    assert await triggerer.run(expected=0) == []


async def test_a_call_longer_than_the_lookback_is_not_lost_if_it_cannot_be_read_while_the_state_store_is_asked(
    box: TavusBox, triggerer: Triggerer
) -> None:
    created, created_later = time.time() - 30 * HOUR, time.time() - 5 * HOUR

    class SlowStore(AssetStore):
        async def aget(self, key: str, default: Any = None) -> Any:
            if key.endswith(hour(created_later)):
                await triggerer.until(lambda: box.count("get", call, status=403) > 0)
                await asyncio.sleep(0.1)
            return await super().aget(key, default)

    triggerer.store = SlowStore()
    call = box.add(Script.finished(seconds=29 * HOUR), created_at=created)
    as_open = {"created_at": created, "pal_id": None, "face_id": None}
    begun(triggerer.store, ago=30 * HOUR, watched_from=time.time() - 24 * HOUR, open={call: as_open})
    box.trouble("latency", conversation_id=call, seconds=1, times=1)
    box.trouble(status=403, conversation_id=call, times=1)

    later = Script.finished(seconds=4.5 * HOUR)
    fired = await triggerer.run(expected=2, meanwhile=lambda: box.add(later, created_at=created_later))

    assert call in ids(fired)


async def test_whose_creation_only_a_read_tells_has_one_event_whoever_fires_it(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store)
    created_at = time.time() - 60
    script = Script.finished(seconds=1, list_times=False)
    # As the receiver of callbacks does, which goes by what it has read.
    triggerer.store.store_event(box.add(script, created_at=created_at), created_at)
    call = box.add(script, created_at=created_at)

    (payload,) = await triggerer.run(expected=1)

    assert payload["conversation_id"] == call
    assert hour(payload["created_at"]) == hour(created_at)
    assert await triggerer.run(expected=0) == []


async def test_whose_creation_only_a_read_tells_and_who_is_long_over_is_read_once_and_has_no_event(
    box: TavusBox, triggerer: Triggerer
) -> None:
    # That it has had its event may be forgotten by now.
    begun(triggerer.store, ago=400 * HOUR, watched_from=time.time() - 24 * HOUR)
    old = box.add(Script.finished(seconds=1, list_times=False), created_at=time.time() - 300 * HOUR)

    assert await triggerer.run(expected=0, until=lambda: box.count("get", old) > 0) == []
    assert await triggerer.run(expected=0) == []
    assert box.count("get", old) == 1


async def test_of_many_whose_creation_only_a_read_tells_none_that_is_long_over_is_taken_for_one_that_goes_on(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store, ago=400 * HOUR, watched_from=time.time() - 24 * HOUR)
    add_long_over(10, box)
    # So that the watch moves on while it has not come to some of them.
    triggerer.store.takes = 0.1

    assert await triggerer.run(expected=0, until=lambda: box.count("get") >= 10) == []
    assert triggerer.store.progress()["open"] == {}


async def test_many_whose_creation_only_a_read_tells_and_who_are_long_over_are_written_down_together(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store, ago=400 * HOUR, watched_from=time.time() - 24 * HOUR)
    add_long_over(40, box)

    assert await triggerer.run(expected=0, until=lambda: box.count("get") >= 40) == []
    assert sum(key.endswith("/passed/unknown") for key in triggerer.store.written) <= 5, "once a look, at most"

    assert await triggerer.run(expected=0) == []
    assert box.count("get") == 40


def add_long_over(number: int, box: TavusBox) -> None:
    for hours in range(number):
        script = Script.finished(seconds=1, list_times=False)
        box.add(script, created_at=time.time() - (300 + hours) * HOUR)


async def test_whose_creation_only_a_read_tells_and_who_becomes_old_while_it_is_watched_has_its_event(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOKBACK", 60.0)
    monkeypatch.setattr(watch, "SAVE_INTERVAL", 0.0)
    begun(triggerer.store, ago=HOUR, watched_from=time.time() - 60)
    script = Script.finished(seconds=1, transcript_delay=61.0, list_times=False)
    call = box.add(script, created_at=time.time() - 59)

    assert ids(await triggerer.run(expected=1)) == [call]


async def test_a_long_call_whose_creation_only_a_read_tells_is_not_lost_over_a_restart(
    box: TavusBox, triggerer: Triggerer
) -> None:
    begun(triggerer.store, ago=31 * HOUR)
    call = box.add(Script.active(list_times=False), created_at=time.time() - 30 * HOUR)

    assert await triggerer.run(expected=0, until=lambda: call in triggerer.store.progress()["open"]) == []
    box.end(call)

    assert ids(await triggerer.run(expected=1)) == [call]


async def test_a_call_longer_than_the_lookback_that_was_deleted_is_read_once_and_forgotten(
    box: TavusBox, triggerer: Triggerer
) -> None:
    box.add(Script.finished(), created_at=time.time() - 50 * HOUR)
    gone = {"created_at": time.time() - 30 * HOUR, "pal_id": None, "face_id": None}
    begun(triggerer.store, ago=40 * HOUR, watched_from=time.time() - 24 * HOUR, open={"c-gone": gone})

    assert await triggerer.run(expected=0) == []

    assert (box.count("get", "c-gone"), sweeps(box)) == (1, 1)
    assert triggerer.store.progress()["open"] == {}
    assert await triggerer.run(expected=0) == []
    assert box.count("get", "c-gone") == 1


async def test_a_call_that_is_not_found_and_not_listed_by_a_later_sweep_is_watched_no_more(
    box: TavusBox, triggerer: Triggerer, told: list[str]
) -> None:
    gone = {"created_at": time.time() - 30 * HOUR, "pal_id": None, "face_id": None}
    begun(triggerer.store, ago=40 * HOUR, watched_from=time.time() - 24 * HOUR, open={"c-gone": gone})
    # An answer that names no conversation: it may be of whatever stands between us and Tavus.
    box.trouble(route="get", conversation_id="c-gone", status=404, body={"message": "Not found"})

    assert await triggerer.run(expected=0, until=lambda: triggerer.store.progress()["open"] == {}) == []

    assert (box.count("get", "c-gone"), sweeps(box)) == (2, 2)
    assert told == ["Conversation c-gone is neither known to Tavus nor listed any more. No event."]


async def test_one_that_cannot_be_read_is_told_of_once_and_has_the_list_swept_once(
    box: TavusBox, triggerer: Triggerer, told: list[str]
) -> None:
    call = box.add(Script.active())
    trouble = box.trouble(route="get", conversation_id=call, status=403)

    def end() -> None:
        box.end(call)
        trouble.stop()

    assert await triggerer.run(expected=0, until=lambda: box.count("get", call) >= 6) == []
    (line,) = told
    assert line.startswith(f"Conversation {call} cannot be read, trying again at each look: ")
    assert sweeps(box) == 2, "one when the watch begins"

    assert ids(await triggerer.run(expected=1, meanwhile=end)) == [call]


async def test_a_call_that_tavus_lists_is_watched_although_it_says_that_it_does_not_know_it(
    box: TavusBox, triggerer: Triggerer
) -> None:
    call = box.add(Script.active(), created_at=time.time() - 30 * HOUR)
    begun(triggerer.store, ago=31 * HOUR)
    assert await triggerer.run(expected=0) == []
    assert triggerer.store.progress()["open"].keys() == {call}
    box.trouble(route="get", conversation_id=call, times=2, status=400, body={"error": "Invalid conversation_id"})

    assert ids(await triggerer.run(expected=1, meanwhile=lambda: box.end(call))) == [call]


async def test_a_call_longer_than_the_lookback_has_one_event_however_long_the_watch_goes_on(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SAVE_INTERVAL", 0.0)
    monkeypatch.setattr(watch, "STORED_WITHIN", 0.0)
    call = box.add(Script.active(), created_at=time.time() - 30 * HOUR)
    begun(triggerer.store, ago=31 * HOUR)

    assert ids(await triggerer.run(expected=1, meanwhile=lambda: box.end(call))) == [call]
    assert await triggerer.run(expected=0) == []


async def test_two_watchers_of_one_asset_each_go_their_own_way_and_a_conversation_has_one_event(
    box: TavusBox, triggerer: Triggerer
) -> None:
    created_at = time.time() - 30 * HOUR
    for pal_id in ("p1", "p2"):
        begun(triggerer.store, ago=31 * HOUR, watcher=triggerer.trigger(pal_id=pal_id))
        box.add(Script.active(), conversation_id=f"c-{pal_id}", created_at=created_at, persona_id=pal_id)
    first, second = triggerer.trigger(pal_id="p1"), triggerer.trigger(pal_id="p2")

    assert await triggerer.run(first, second, triggerer.trigger(pal_id="p1", grace_period=5), expected=0) == []
    for pal_id in ("p1", "p2"):
        box.end(f"c-{pal_id}")

    fired = await triggerer.run(triggerer.trigger(pal_id="p1"), triggerer.trigger(pal_id="p2"), expected=2)
    assert sorted(ids(fired)) == ["c-p1", "c-p2"]


async def test_watchers_of_one_asset_that_find_a_conversation_together_fire_one_event(
    box: TavusBox, triggerer: Triggerer
) -> None:
    all_of_them, some = triggerer.trigger(), triggerer.trigger(pal_id="p1")
    for watcher in (all_of_them, some):
        begun(triggerer.store, watcher=watcher)
    calls = [box.add(Script.active(), persona_id=pal_id) for pal_id in ("p1", "p2", "p1")]

    def end() -> None:
        for call in calls:
            box.end(call)

    # Nothing is stored, as if Airflow took its time.
    fired = await triggerer.run(all_of_them, some, expected=3, stored=False, meanwhile=end)

    assert sorted(ids(fired)) == sorted(calls)


async def test_whom_one_watcher_of_an_asset_gives_no_event_another_does(box: TavusBox, triggerer: Triggerer) -> None:
    strict, lenient = triggerer.trigger(grace_period=5), triggerer.trigger(wait_for=[])
    new, old = triggerer.trigger(conversation_name="*"), triggerer.trigger()
    for watcher in (strict, lenient, old):
        begun(triggerer.store, watcher=watcher)
    box.add(Script.nobody_joined(seconds=1), conversation_id="c-never", created_at=time.time() - 60)

    assert await triggerer.run(strict, expected=0, until=lambda: box.count(route="get") > 0) == []
    assert ids(await triggerer.run(lenient, expected=1)) == ["c-never"]

    box.add(Script.finished(seconds=1), conversation_id="c-before", created_at=time.time() - 60)

    assert await triggerer.run(new, expected=0, until=lambda: box.count(conversation_id="c-before") > 0) == []
    assert ids(await triggerer.run(old, expected=1)) == ["c-before"]


async def test_a_watcher_that_was_another_for_some_days_repeats_no_event(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SAVE_INTERVAL", 0.0)
    monkeypatch.setattr(watch, "STORED_WITHIN", 0.1)
    meanwhile = triggerer.trigger(conversation_name="*")
    begun(triggerer.store, ago=96 * HOUR)
    begun(triggerer.store, ago=72 * HOUR, watcher=meanwhile)
    for hours in (80, 48):
        box.add(Script.finished(seconds=1), conversation_id=f"c{hours}", created_at=time.time() - hours * HOUR)

    assert ids(await triggerer.run(meanwhile, expected=1)) == ["c48"]
    # As a restart does.
    event_state._claimed_here.clear()
    assert ids(await triggerer.run(expected=1)) == ["c80"]


async def test_an_asset_that_was_away_from_a_shared_watcher_brings_no_old_events_again(
    box: TavusBox, triggerer: Triggerer
) -> None:
    # It had its event; the asset that stayed has forgotten that, and in the one that was away it never stood.
    box.add(Script.finished(seconds=1), conversation_id="c-old", created_at=time.time() - 230 * HOUR)
    began = time.time() - 1000 * HOUR
    stayed, away = triggerer.store, AssetStore()
    trigger = triggerer.trigger()
    trigger.asset_state_store = SimpleNamespace(_by_name={"away": away, "stayed": stayed}, _by_uri={})  # type: ignore[assignment]
    for store, hours in ((stayed, 24), (away, 260)):
        progress = Progress(began, time.time() - hours * HOUR)
        store.kept[f"tavus/{trigger.name_in_the_state}/progress"] = json.dumps(progress.as_plain())
    call = box.add(Script.active(), conversation_id="c-new")

    assert ids(await triggerer.run(trigger, expected=1, meanwhile=lambda: box.end(call))) == [call]


@pytest.mark.parametrize(
    ("one", "other", "looks_back_to"),
    [
        pytest.param((960, 504), (960, 24), 192, id="one was away, and the other may have forgotten"),
        pytest.param((960, 504), (936, 24), 192, id="so too where the other began later"),
        pytest.param((960, 72), (936, 24), 72, id="one was away for a short time"),
        pytest.param((960, 24), (1, 2), 24, id="one began just now"),
        pytest.param((960, 504), (72, 24), 504, id="one was away, and the other knows of all its events"),
    ],
)
async def test_equal_watchers_that_become_one_look_back_as_far_as_one_needs_and_none_has_forgotten(
    one: tuple[int, int], other: tuple[int, int], looks_back_to: int
) -> None:
    now = time.time()
    both = [Progress(now - began * HOUR, now - watched_from * HOUR) for began, watched_from in (one, other)]

    progress = await loaded(*both)

    assert (now - progress.began) / HOUR == pytest.approx(960, abs=0.01)
    assert (now - progress.watched_from) / HOUR == pytest.approx(looks_back_to, abs=0.01)


async def test_equal_watchers_that_become_one_keep_the_open_calls_that_none_may_have_had_and_forgotten() -> None:
    now = time.time()

    def call(hours: float) -> event_state.OpenCall:
        return {"created_at": now - hours * HOUR, "pal_id": None, "face_id": None}

    was_away = Progress(now - 960 * HOUR, now - 72 * HOUR, {"c-forgotten": call(300), "c-known": call(100)})
    stayed = Progress(now - 936 * HOUR, now - 24 * HOUR, {"c-goes-on": call(300)})

    assert (await loaded(was_away, stayed)).open.keys() == {"c-known", "c-goes-on"}


async def loaded(*progress_of_each: Progress) -> Progress:
    """How far a watcher of several assets has come."""
    stores = []
    for progress in progress_of_each:
        stores.append(AssetStore())
        stores[-1].kept["tavus/watcher/progress"] = json.dumps(progress.as_plain())
    together = await event_state.StateOfAssets(stores, "watcher").load()
    assert together is not None
    return together


async def test_what_is_out_of_the_time_that_is_watched_is_forgotten(
    box: TavusBox, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEPT", 0.0)
    old, young = time.time() - 26 * HOUR, time.time() - HOUR
    for conversation_id, created_at in [("c1", old), ("c2", young)]:
        box.add(Script.finished(seconds=1), conversation_id=conversation_id, created_at=created_at)
        triggerer.store.store_event(conversation_id, created_at)
    # Of one that is not in Tavus any more.
    triggerer.store.store_event("c3", time.time() - 28 * HOUR)
    box.add(Script.nobody_joined(seconds=1), created_at=old)
    begun(triggerer.store, ago=29 * HOUR)
    watcher = triggerer.trigger(grace_period=5)

    assert await triggerer.run(watcher, expected=0) == []
    of_hours = {key for key in triggerer.store.kept if not key.endswith(("/progress", "/claimed"))}
    assert of_hours == {f"tavus/settled/{hour(young)}"}
    assert await triggerer.run(expected=0) == []


@pytest.mark.parametrize("order", ["newest", "oldest", "random", "shuffled"])
async def test_whatever_the_order_of_the_list_nobody_is_missed(order: Any, box: TavusBox, triggerer: Triggerer) -> None:
    begun(triggerer.store)
    box.account.list_view = ListView(order=order, limit_cap=3)
    calls = {box.add(Script.finished(seconds=1), created_at=time.time() - 300 + n) for n in range(7)}

    fired = await triggerer.run(
        expected=8, meanwhile=lambda: calls.add(box.add(Script.finished(seconds=0.1), conversation_id="c99"))
    )

    assert sorted(ids(fired)) == sorted(calls)


async def test_a_look_where_nothing_is_new_costs_one_request(box: TavusBox, triggerer: Triggerer) -> None:
    begun(triggerer.store)
    box.account.list_view = ListView(limit_cap=3)
    for number in range(30):
        created_at = time.time() - 300 + number
        triggerer.store.store_event(box.add(Script.finished(seconds=1), created_at=created_at), created_at)

    assert await triggerer.run(expected=0) == []

    pages = [int(request.query["page"]) for request in box.requests_of("list")]
    sweep = pages.index(1, 1)
    assert pages[:10] == list(range(1, 11))
    assert set(pages[sweep + 1 :]) == {1}, "after the sweep and the list of those that go on"
    assert box.count(route="get") == 0
