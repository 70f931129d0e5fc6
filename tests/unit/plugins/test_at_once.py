"""Conversations that callbacks tell of are looked at once, and no more often than is good for anybody."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

if not AIRFLOW_V_3_3_PLUS:
    pytest.skip("callbacks are received from Airflow 3.3 on", allow_module_level=True)

from airflow_provider_tavus.plugins import at_once
from airflow_provider_tavus.plugins.at_once import MOST_UNKNOWN, REST, AtOnce, Looks
from airflow_provider_tavus.testing import Script, TavusBox, events
from airflow_provider_tavus.triggers.event import ConversationEventTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from events_database import EventsDatabase

HOUR = 3600.0

# -- looks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def began() -> float:
    return time.time() - 2 * HOUR


@pytest.fixture
def looks(connect: Callable[..., str], events_database: EventsDatabase) -> Looks:
    return Looks()


def test_who_is_ready_gets_the_event_that_the_watcher_would_have_fired(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float
) -> None:
    events_database.watch(ConversationEventTrigger(), began=began)
    ready = box.add(Script.finished(seconds=60), created_at=time.time() - HOUR, persona_id="p1", replica_id="r1")
    goes_on = box.add(Script.active(), created_at=time.time() - HOUR)

    assert [looks(one) for one in (ready, goes_on)] == [0.0, 0.0]

    (payload,) = events_database.payloads()
    assert payload["conversation_id"] == ready
    assert (payload["pal_id"], payload["face_id"]) == ("p1", "r1")
    assert (payload["status"], payload["state"]) == ("ended", "ready")
    assert None not in payload.values()


def test_who_has_had_an_event_is_not_read_again(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float
) -> None:
    events_database.watch(ConversationEventTrigger(), began=began)
    one = box.add(Script.finished(), created_at=time.time() - HOUR)

    for _ in range(5):
        looks(one)

    assert box.count("get") == 1
    assert events_database.with_events() == [one]


def test_each_watcher_judges_for_itself_by_one_read(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float
) -> None:
    for trigger in (ConversationEventTrigger(pal_id="p2"), ConversationEventTrigger(wait_for=["no.such.event"])):
        events_database.watch(trigger, began=began)
    calls = {pal: box.add(Script.finished(), created_at=time.time() - HOUR, persona_id=pal) for pal in ("p1", "p2")}

    for one in calls.values():
        looks(one)

    assert events_database.with_events() == [calls["p2"]]
    assert box.count("get") == 2


def watch_for_another_asset(events_database: EventsDatabase, trigger: ConversationEventTrigger, *, began: float) -> int:
    """Have a watcher of an asset beside the first one, and return the asset's number."""
    from airflow.models.asset import AssetActive, AssetModel

    with closing(events_database.sessions()) as session:
        asset = AssetModel(name="analyses", uri="analyses", group="asset", extra={})
        session.add_all([asset, AssetActive(name="analyses", uri="analyses")])
        session.commit()
        events_database.asset_id = asset.id
    events_database.watch(trigger, began=began)
    return events_database.asset_id


def assets_with_events(events_database: EventsDatabase) -> list[int]:
    from airflow.models.asset import AssetEvent
    from sqlalchemy import select

    with closing(events_database.sessions()) as session:
        return sorted(session.scalars(select(AssetEvent.asset_id)))


def test_a_watcher_of_another_asset_that_waits_for_more_has_its_event_at_once_too(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float
) -> None:
    calls = events_database.asset_id
    events_database.watch(ConversationEventTrigger(), began=began)
    more = ConversationEventTrigger(wait_for=["application.transcription_ready", "application.perception_analysis"])
    analyses = watch_for_another_asset(events_database, more, began=began)
    one = box.add(Script.finished(), created_at=time.time() - HOUR)

    for _ in range(3):
        looks(one)
    assert assets_with_events(events_database) == [calls]

    analysed = Script.finished(further_events=(events.perception_analysis("calm", after=1.0),))
    box.remove(one)
    box.add(analysed, conversation_id=one, created_at=time.time() - HOUR)
    for _ in range(3):
        looks(one)
    assert assets_with_events(events_database) == sorted([calls, analyses])
    assert box.count("get") == 4


def test_of_an_asset_with_several_watchers_none_has_a_conversation_read_that_had_its_event(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float
) -> None:
    for trigger in (ConversationEventTrigger(), ConversationEventTrigger(wait_for=["no.such.event"])):
        events_database.watch(trigger, began=began)
    one = box.add(Script.finished(), created_at=time.time() - HOUR)

    for _ in range(3):
        looks(one)

    assert box.count("get") == 1
    assert events_database.with_events() == [one]


def test_only_the_last_events_are_remembered(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_once, "REMEMBERED", 2)
    events_database.watch(ConversationEventTrigger(), began=began)
    calls = [box.add(Script.finished(), created_at=time.time() - HOUR) for _ in range(3)]
    for one in calls:
        looks(one)
    box.forget_requests()

    for one in calls:
        looks(one)

    assert [box.count("get", one) for one in calls] == [1, 0, 0]
    assert events_database.with_events() == sorted(calls)


def test_where_nobody_watches_nothing_is_read(looks: Looks, box: TavusBox, events_database: EventsDatabase) -> None:
    looks(box.add(Script.finished()))

    assert box.count() == 0


def test_one_of_another_account_is_found_there(
    looks: Looks, box: TavusBox, connect: Callable[..., str], events_database: EventsDatabase, began: float
) -> None:
    with TavusBox.in_thread(api_key="canary-key-another") as another:
        connect("another", host=another.base_url, password=another.api_key)
        events_database.watch(ConversationEventTrigger(), began=began)
        events_database.watch(ConversationEventTrigger(tavus_conn_id="another"), began=began)
        one = another.add(Script.finished(), created_at=time.time() - HOUR)

        assert looks(one) == 0.0

    assert events_database.with_events() == [one]


def test_many_unknown_ids_cost_a_few_requests_and_then_nothing(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float, caplog: pytest.LogCaptureFixture
) -> None:
    events_database.watch(ConversationEventTrigger(), began=began)

    rests = [looks(f"c{number}") for number in range(MOST_UNKNOWN)]

    assert rests == [0.0] * (MOST_UNKNOWN - 1) + [REST]

    assert box.count("get") == MOST_UNKNOWN
    assert "20 callbacks were of conversations that Tavus does not know" in caplog.text
    assert events_database.with_events() == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"password": "wrong"}, "Put a valid API key"), ({"host": "http://127.0.0.1:9"}, "could not be reached")],
)
def test_a_fault_is_left_to_the_watcher(
    fields: dict[str, str],
    said: str,
    looks: Looks,
    box: TavusBox,
    connect: Callable[..., str],
    events_database: EventsDatabase,
    began: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(**fields)
    events_database.watch(ConversationEventTrigger(), began=began)
    calls = [box.add(Script.finished(), created_at=time.time() - HOUR) for _ in range(3)]

    for one in calls:
        looks(one)

    assert said in caplog.text
    assert box.count("get") <= 1
    assert events_database.with_events() == []


def test_a_connection_that_cannot_be_used_is_in_no_others_way(
    looks: Looks, box: TavusBox, connect: Callable[..., str], events_database: EventsDatabase, began: float
) -> None:
    connect("a_wrong_one", password="wrong")
    events_database.watch(ConversationEventTrigger(tavus_conn_id="a_wrong_one"), began=began)
    events_database.watch(ConversationEventTrigger(), began=began)
    calls = [box.add(Script.finished(), created_at=time.time() - HOUR) for _ in range(3)]

    for one in calls:
        looks(one)

    assert events_database.with_events() == sorted(calls)


def test_as_long_as_tavus_asks_for_nobody_looks(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float, caplog: pytest.LogCaptureFixture
) -> None:
    events_database.watch(ConversationEventTrigger(), began=began)
    one = box.add(Script.finished(), created_at=time.time() - HOUR)
    box.trouble(status=429, headers={"Retry-After": "100"})

    for _ in range(3):
        looks(one)

    assert box.count("get") == 1
    assert "for 100 s" in caplog.text


def test_a_watcher_that_comes_later_is_found(
    looks: Looks, box: TavusBox, events_database: EventsDatabase, began: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = box.add(Script.finished(), created_at=time.time() - HOUR)
    looks(one)
    events_database.watch(ConversationEventTrigger(), began=began)
    monkeypatch.setattr(at_once, "KNOWN_FOR", 0.0)

    looks(one)

    assert events_database.with_events() == [one]


# -- the pace --------------------------------------------------------------------------------------------------------


class Looked:
    """Notes when it was asked to look at whom."""

    def __init__(self, rest: float = 0.0, seconds: float = 0.0) -> None:
        self.at: dict[str, list[float]] = {}
        self.rest = rest
        self.seconds = seconds
        """How long the first look takes."""

    def __call__(self, conversation_id: str) -> float:
        if not self.at:
            time.sleep(self.seconds)
        self.at.setdefault(conversation_id, []).append(time.monotonic())
        return self.rest

    async def until(self, times: int, conversation_id: str) -> None:
        """Wait until it has looked at a conversation so many times."""
        async with asyncio.timeout(10):
            while len(self.at.get(conversation_id, ())) < times:  # noqa: ASYNC110 - it looks in another thread
                await asyncio.sleep(0.01)


async def test_a_flood_of_one_id_is_looked_at_once_in_a_second() -> None:
    looked = Looked()
    looks = AtOnce(looked)

    for _ in range(120):
        looks.look_at("c1")
        await asyncio.sleep(0.01)

    first, *further = looked.at["c1"]
    assert len(further) <= 1 + (time.monotonic() - first - 1)
    assert all(later >= first + 1.0 for later in further)


async def test_a_callback_that_comes_just_after_a_look_is_not_dropped() -> None:
    looked = Looked()
    looks = AtOnce(looked)
    looks.look_at("c1")
    await looked.until(1, "c1")

    looks.look_at("c1")

    await looked.until(2, "c1")


async def test_while_it_looks_a_thousand_wait_and_no_more() -> None:
    looked = Looked(seconds=0.5)
    looks = AtOnce(looked)
    looks.look_at("first")
    await asyncio.sleep(0.2)

    for number in range(10_000):
        looks.look_at(f"c{number}")
    await looked.until(1, "c999")
    await asyncio.sleep(0.5)

    assert len(looked.at) == 1001


async def test_while_it_rests_nothing_is_looked_at_and_then_it_is_again() -> None:
    looked = Looked(rest=0.5)
    looks = AtOnce(looked)
    looks.look_at("c1")
    await looked.until(1, "c1")
    await asyncio.sleep(0.1)

    looks.look_at("c2")
    await asyncio.sleep(0.6)
    looks.look_at("c3")
    await looked.until(1, "c3")

    assert "c2" not in looked.at
