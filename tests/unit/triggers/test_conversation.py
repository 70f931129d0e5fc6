from __future__ import annotations

import asyncio
import gc
import json
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import Script, TavusBox
from airflow_provider_tavus.triggers import connections
from airflow_provider_tavus.triggers.conversation import ConversationTrigger
from airflow_provider_tavus.triggers.created_conversation import CreatedConversationTrigger
from airflow_provider_tavus.triggers.event import ConversationEventTrigger
from airflow_provider_tavus.triggers.refusal import UnusableTriggerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.triggers.base import BaseTrigger

pytestmark = pytest.mark.usefixtures("connect")


def trigger(**changes: Any) -> ConversationTrigger:
    arguments: dict[str, Any] = {
        "conversation_ids": ["c1"],
        "wait_for": ["application.transcription_ready"],
        "grace_period": 600,
        "poll_interval": 0.1,
        "deadline": time.time() + 10,
    }
    return ConversationTrigger(**arguments | changes)


async def event_of(trigger: ConversationTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("The trigger ended without an event.")


def test_its_arguments_are_plain_json_and_make_the_same_trigger() -> None:
    original = trigger(exponential_backoff=True, max_wait=60.0, tavus_conn_id="tavus_other")

    class_path, arguments = original.serialize()
    module, _, name = class_path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert rebuilt.serialize() == original.serialize()


def test_its_arguments_hold_ids_and_numbers_alone(box: TavusBox) -> None:
    _, arguments = trigger().serialize()

    assert box.api_key not in json.dumps(arguments)
    assert box.base_url not in json.dumps(arguments)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"conversation_ids": ["c1", None]}, "A conversation_id must be a string"),
        ({"wait_for": ["transcript"]}, "'transcript' in wait_for is no event type"),
        ({"poll_interval": 0}, "poll_interval must be above 0"),
        ({"poll_interval": -1}, "poll_interval must be 0 seconds or more"),
        ({"poll_interval": "often"}, "poll_interval must be a number of seconds or a timedelta"),
        ({"grace_period": None}, "grace_period must be a number of seconds or a timedelta"),
        ({"max_wait": float("nan")}, "max_wait must be 0 seconds or more"),
        ({"deadline": None}, "deadline must be epoch seconds"),
        ({"deadline": datetime(2026, 11, 27, tzinfo=UTC)}, "deadline must be epoch seconds"),
        ({"deadline": float("inf")}, "deadline must be epoch seconds"),
        ({"started_at": "yesterday"}, "started_at must be epoch seconds"),
        ({"next_look": float("nan")}, "next_look must be epoch seconds"),
    ],
    ids=str,
)
def test_what_cannot_be_reckoned_with_is_refused_before_it_is_deferred(wrong: dict[str, Any], message: str) -> None:
    # In the triggerer it would break the waits of others, let Tavus be asked without a pause, or stop the event loop.
    with pytest.raises(ValueError, match=message):
        trigger(**wrong)


@pytest.mark.parametrize(
    ("of_class", "arguments"),
    [
        (ConversationTrigger, {"deadline": float("inf")}),
        (ConversationTrigger, {"deadline": "{{ data_interval_end.timestamp() }}"}),
        (ConversationTrigger, {"poll_interval": 0}),
        (ConversationTrigger, {"max_wait": 10**400}),
        (CreatedConversationTrigger, {"started_at": "yesterday", "cancellation": "leave"}),
        (ConversationEventTrigger, {"poll_interval": 0}),
        (ConversationEventTrigger, {"wait_for": "transcript"}),
    ],
    ids=str,
)
def test_a_stored_trigger_that_refuses_its_arguments_does_not_end_the_triggerer(
    of_class: type[BaseTrigger], arguments: dict[str, Any]
) -> None:
    stored = {} if of_class is ConversationEventTrigger else trigger().serialize()[1]

    # The one error that Airflow's triggerer takes for a fault of the trigger itself.
    with pytest.raises(TypeError) as refusal:
        of_class(**stored | arguments)

    assert isinstance(refusal.value, UnusableTriggerError), "and not for an argument that is not known"


def test_a_single_id_or_event_type_is_not_taken_for_its_letters() -> None:
    _, arguments = trigger(conversation_ids="c1", wait_for="application.transcription_ready").serialize()

    assert arguments["conversation_ids"] == ["c1"]
    assert arguments["wait_for"] == ["application.transcription_ready"]


def test_durations_may_be_timedeltas_and_numbers_may_be_texts() -> None:
    durations = {"poll_interval": timedelta(minutes=1), "grace_period": "30", "max_wait": timedelta(hours=1)}

    _, arguments = trigger(**durations).serialize()

    assert [arguments[name] for name in durations] == [60.0, 30.0, 3600.0]


async def test_an_event_names_conversations_and_says_nothing_of_what_was_said(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)

    event = await event_of(trigger())

    assert event["status"] == "done"
    assert event["conversations"][0].keys() == {
        "conversation_id",
        "state",
        "status",
        "missing",
        "reason",
        "shutdown_reason",
        "ended_at",
        "ready_at",
    }


async def test_a_wait_that_moved_does_not_look_before_its_time(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)
    planned = time.time() + 0.5

    await event_of(trigger(next_look=planned))

    assert box.requests[0].wall >= planned


async def test_a_wait_that_comes_back_after_its_deadline_looks_once_more(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)

    event = await event_of(trigger(deadline=time.time() - 60, next_look=time.time() - 300))

    assert event["status"] == "done"
    assert box.count() == 1


async def test_many_conversations_are_read_a_few_at_a_time(box: TavusBox) -> None:
    ids = [box.add(Script.finished(), created_at=time.time() - 3600) for _ in range(30)]
    box.trouble("latency", route="get", seconds=0.05)

    event = await event_of(trigger(conversation_ids=ids))

    assert [verdict["conversation_id"] for verdict in event["conversations"]] == ids
    assert box.count("get") == 30


async def test_only_the_undecided_are_read_again(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="done", created_at=time.time() - 3600)
    box.add(Script.finished(seconds=2.0, transcript_delay=0.0), conversation_id="later")

    await event_of(trigger(conversation_ids=["done", "later"]))

    assert box.count("get", "done") == 1
    assert box.count("get", "later") > 1


async def test_a_cancelled_wait_stops_asking_and_closes_what_it_opened(box: TavusBox) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, complaint: complaints.append(complaint))
    box.add(Script.active(), conversation_id="c1")
    task = asyncio.create_task(event_of(trigger()))
    await asyncio.sleep(0.5)
    assert box.count("get")

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # A request may be on its way yet that was sent before.
    await asyncio.sleep(0.3)
    looks = box.count("get")
    await asyncio.sleep(0.3)
    assert box.count("get") == looks
    del task
    gc.collect()
    # A session that was left open complains here when it is collected.
    assert complaints == []


async def test_the_event_loop_is_never_blocked(box: TavusBox, connect: Callable[..., str]) -> None:
    """The loop keeps ticking while a trigger imports, resolves its connection and waits for a slow service."""
    connect(extra={"read_timeout": 0.5})
    box.add(Script.active(), conversation_id="c1")
    box.trouble("hang", route="get")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await event_of(trigger(deadline=time.time() + 1))
    ticking.cancel()

    assert ticks > 30


async def test_a_connection_that_only_the_workers_have_is_told_in_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PAUSES_BEFORE_THE_CONNECTION", (0.1,))

    event = await event_of(trigger(tavus_conn_id="nowhere"))

    assert (event["status"], event["transient"]) == ("error", True)
    assert "connection 'nowhere' cannot be read" in event["message"]
    assert event["message"].startswith("The triggerer needs the connection as the workers do")


async def test_a_wait_rides_out_that_its_connection_cannot_be_read_for_a_moment(
    box: TavusBox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PAUSES_BEFORE_THE_CONNECTION", (0.1, 2.0))
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)
    monkeypatch.delenv("AIRFLOW_CONN_TAVUS_DEFAULT")

    waiting = asyncio.create_task(event_of(trigger()))
    await asyncio.sleep(1)
    connect()

    assert (await waiting)["status"] == "done"


async def test_an_error_that_no_retry_cures_says_so_in_the_event(box: TavusBox) -> None:
    event = await event_of(trigger(conversation_ids=["c-unknown"]))

    assert (event["status"], event["transient"]) == ("error", False)
