"""An event that is stored in a watcher's place is what the watcher would have fired, and never a second one."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

if not AIRFLOW_V_3_3_PLUS:
    pytest.skip("this Airflow keeps nothing for asset watchers: that came in 3.3", allow_module_level=True)

from airflow.models.trigger import Trigger
from airflow.triggers.base import TriggerEvent

from airflow_provider_tavus.plugins import emitted
from airflow_provider_tavus.plugins.watchers import NotNotedError, watchers
from airflow_provider_tavus.triggers.conversation import ConversationTrigger
from airflow_provider_tavus.triggers.event import ConversationEventTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from events_database import EventsDatabase

on_each_database = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
NOW = time.time()
HOUR = 3600.0


def payload(conversation_id: str = "c1", *, created: float = NOW - 60, ready: float | None = NOW) -> dict[str, Any]:
    """What an event says of a conversation; times in epoch seconds."""
    created_at, ready_at = (
        None if at is None else datetime.fromtimestamp(at, UTC).isoformat() for at in (created, ready)
    )
    return {"conversation_id": conversation_id, "created_at": created_at, "ready_at": ready_at}


def claims(trigger: ConversationEventTrigger) -> str:
    return f"tavus/{trigger.name_in_the_state}/claimed"


@on_each_database
def test_the_event_is_stored_noted_and_queued_for_the_dags(events_database: EventsDatabase) -> None:
    events_database.watch(ConversationEventTrigger(), began=NOW - HOUR)
    (watcher,) = watchers()

    assert watcher.store_event(payload())

    assert events_database.payloads() == [payload()]
    assert events_database.settled() == ["c1"]
    assert events_database.queued() == ["each"]


def test_a_conversation_has_no_second_event(events_database: EventsDatabase) -> None:
    events_database.watch(ConversationEventTrigger(), began=NOW - HOUR)
    (watcher,) = watchers()

    assert [watcher.store_event(payload()) for _ in range(3)] == [True, False, False]

    assert events_database.with_events() == ["c1"]


@pytest.mark.parametrize(
    "left_to_the_watcher",
    [
        pytest.param(payload(ready=NOW - 2 * HOUR), id="ready before the watch began"),
        pytest.param(payload(created=NOW - 3 * HOUR), id="created before what is watched"),
        pytest.param(payload(ready=None), id="of no known time"),
    ],
)
def test_what_the_watcher_would_not_fire_is_left_to_it(
    left_to_the_watcher: dict[str, Any], events_database: EventsDatabase
) -> None:
    events_database.watch(ConversationEventTrigger(), began=NOW - HOUR, watched_from=NOW - 2 * HOUR)
    (watcher,) = watchers()

    assert not watcher.store_event(left_to_the_watcher)

    assert events_database.with_events() == []


def test_a_call_that_went_on_for_longer_than_is_watched_gets_its_event(events_database: EventsDatabase) -> None:
    still_open = {"created_at": NOW - 30 * HOUR, "pal_id": None, "face_id": None}
    events_database.watch(ConversationEventTrigger(), began=NOW - 40 * HOUR, watched_from=NOW, open={"c1": still_open})
    (watcher,) = watchers()

    assert watcher.store_event(payload(created=NOW - 30 * HOUR))


def test_what_the_watcher_claims_or_has_passed_is_left_to_it(events_database: EventsDatabase) -> None:
    trigger = ConversationEventTrigger()
    events_database.watch(trigger, began=NOW - HOUR)
    (watcher,) = watchers()
    events_database.keep(claims(trigger), ["c1"])
    hour = payload()["created_at"][:13]
    events_database.keep(f"tavus/{trigger.name_in_the_state}/passed/{hour}", {"c2": "nobody_joined"})

    assert [watcher.store_event(payload(one)) for one in ("c1", "c2", "c3")] == [False, False, True]

    assert events_database.with_events() == ["c3"]


def test_what_another_watcher_of_the_asset_claims_is_left_to_it(events_database: EventsDatabase) -> None:
    one, another = ConversationEventTrigger(), ConversationEventTrigger(pal_id="p1")
    events_database.watch(one, began=NOW - HOUR)
    events_database.watch(another, began=NOW - HOUR)
    events_database.keep(claims(another), ["c1"])

    assert [watcher.store_event(payload()) for watcher in watchers()] == [False, False]


def test_a_watcher_that_has_not_begun_or_is_not_there_any_more_gets_no_event(events_database: EventsDatabase) -> None:
    number = events_database.watch(ConversationEventTrigger())
    (watcher,) = watchers()
    assert not watcher.store_event(payload())

    events_database.watch(ConversationEventTrigger(), began=NOW - HOUR)
    events_database.forget_the_watcher(number)
    assert not watcher.store_event(payload())

    assert events_database.with_events() == []


def test_an_event_that_would_not_be_noted_is_not_stored(
    events_database: EventsDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    events_database.watch(ConversationEventTrigger(), began=NOW - HOUR)
    (watcher,) = watchers()
    monkeypatch.setattr(emitted, "_settle", lambda *_: None)

    with pytest.raises(NotNotedError, match="c1 is left to its watcher"):
        watcher.store_event(payload())

    assert events_database.with_events() == []
    assert events_database.queued() == []


@on_each_database
def test_of_those_who_store_at_once_one_does(events_database: EventsDatabase) -> None:
    events_database.watch(ConversationEventTrigger(), began=NOW - HOUR)
    (watcher,) = watchers()
    calls = [f"c{number:02}" for number in range(30)]

    stored = at_once(lambda: [watcher.store_event(payload(one)) for one in calls], times=3)

    assert [sum(each) for each in zip(*stored, strict=True)] == [1] * len(calls)
    assert events_database.with_events() == calls


@on_each_database
def test_a_watcher_and_whoever_stores_in_its_place_never_both_do(events_database: EventsDatabase) -> None:
    trigger = ConversationEventTrigger()
    number = events_database.watch(trigger, began=NOW - HOUR)
    (watcher,) = watchers()
    calls = [f"c{number:02}" for number in range(40)]

    def in_its_place() -> None:
        for one in calls:
            watcher.store_event(payload(one))

    def as_the_watcher_does() -> None:
        # From the other end, so that they meet.
        for place in range(len(calls) - 1, -1, -1):
            one = calls[place]
            events_database.keep(claims(trigger), [one])
            if one not in events_database.settled():
                # Airflow stores it a moment later.
                time.sleep(0.005)
                Trigger.submit_event(number, TriggerEvent(payload(one)))

    at_once(in_its_place, as_the_watcher_does)

    assert events_database.with_events() == calls


def at_once(*work: Callable[[], Any], times: int = 1) -> list[Any]:
    """Do several things at the same time, each in a thread of its own."""
    threads = [each for each in work for _ in range(times)]
    together = threading.Barrier(len(threads))

    def begin_together(each: Callable[[], Any]) -> Any:
        together.wait()
        return each()

    with ThreadPoolExecutor(len(threads)) as pool:
        return list(pool.map(begin_together, threads))


def test_watchers_of_others_and_waits_are_none_of_ours(events_database: EventsDatabase) -> None:
    with closing(events_database.sessions()) as session:
        session.add(Trigger("somebody.elses.Trigger", {}))
        session.add(Trigger(f"{ConversationTrigger.__module__}.ConversationTrigger", {}))
        session.commit()
    events_database.watch(ConversationEventTrigger(pal_id="p1"))

    (watcher,) = watchers()

    assert watcher.trigger.pal_id == "p1"
    assert watcher.asset_ids == (events_database.asset_id,)


@pytest.mark.parametrize("arguments", [{"poll_interval": 0}, {"pal_id": ["p1"]}, {"of_a_newer_provider": 1}], ids=str)
def test_a_watcher_that_cannot_be_built_is_warned_of_once_and_in_no_others_way(
    arguments: dict[str, Any], events_database: EventsDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(ConversationEventTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            class_path, stored = ConversationEventTrigger().serialize()
            return class_path, stored | arguments

    events_database.watch(ConversationEventTrigger(pal_id="p1"))
    number = events_database.watch(Odd())

    for _ in range(2):
        (watcher,) = watchers()

    assert watcher.trigger.pal_id == "p1"
    (warning,) = caplog.records
    assert f"the watcher with trigger {number}, which cannot be built" in warning.message
    assert next(iter(arguments)) in warning.message


@on_each_database
def test_an_event_that_waited_for_another_is_dated_after_it(events_database: EventsDatabase) -> None:
    # A run takes the events between two dates: one that is stored behind its back must not be of a date before.
    number = events_database.watch(ConversationEventTrigger(), began=NOW - HOUR)
    with ThreadPoolExecutor(1) as another:
        with closing(events_database.sessions()) as session:
            Trigger.submit_event(number, TriggerEvent(payload("c1")), session=session)
            waits = another.submit(Trigger.submit_event, number, TriggerEvent(payload("c2")))
            time.sleep(0.5)
            assert not waits.done()
            stored = datetime.now(UTC)
            session.commit()
        waits.result()

    dates = events_database.dates()
    assert dates["c1"] < stored < dates["c2"]
