"""What a triggerer learns of callbacks, and how waits come to know of it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_tavus.callbacks import journal
from airflow_provider_tavus.testing import Script, TavusBox
from airflow_provider_tavus.triggers import callbacks
from airflow_provider_tavus.triggers.callbacks import CallbackReader, prepare, reader_of_this_loop
from airflow_provider_tavus.triggers.conversation import ConversationTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAUSE = 0.02
TOKEN = "a-token-that-is-long-enough-0123456789"


class Store:
    """An asset's state store that a receiver writes to."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.reads: list[str] = []
        self.fault: Exception | None = None

    def append(self, *ids: str) -> None:
        recent = journal.append(self.values.get(journal.RECENT_KEY), ids)
        self.values |= {journal.RECENT_KEY: recent, journal.HEAD_KEY: recent["n"]}

    async def read(self, key: str) -> Any:
        self.reads.append(key)
        if self.fault is not None:
            raise self.fault
        return self.values.get(key)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def reader(store: Store) -> CallbackReader:
    return CallbackReader(store.read, pause=PAUSE)


async def eventually(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up, "It does not come."
        await asyncio.sleep(PAUSE / 4)


async def test_every_id_is_told_once_to_every_subscriber(reader: CallbackReader, store: Store) -> None:
    told: list[list[str]] = [[], []]
    ends = [reader.subscribe(one.extend) for one in told]
    for batch in (["c1", "c2"], ["c3"], ["c1", "c1"]):
        store.append(*batch)
        await eventually(lambda batch=batch: told[0][-1:] == batch[-1:])  # type: ignore[misc]
        await asyncio.sleep(2 * PAUSE)
    assert told == [["c1", "c2", "c3", "c1"]] * 2
    for end in ends:
        end()


async def test_what_came_before_it_began_is_told_as_well(reader: CallbackReader, store: Store) -> None:
    store.append("c1", "c2")
    told: list[str] = []
    end = reader.subscribe(told.extend)
    await eventually(lambda: told == ["c1", "c2"])
    assert reader.came("c1")
    assert not reader.came("c3")
    end()


async def test_the_ids_are_read_only_when_the_head_has_moved(reader: CallbackReader, store: Store) -> None:
    store.append("c1")
    end = reader.subscribe(lambda _: None)
    await eventually(lambda: store.reads.count(journal.HEAD_KEY) > 5)
    assert store.reads.count(journal.RECENT_KEY) == 1
    end()


async def test_without_subscribers_nothing_is_read(reader: CallbackReader, store: Store) -> None:
    end = reader.subscribe(lambda _: None)
    await eventually(lambda: store.reads)
    end()
    await asyncio.sleep(2 * PAUSE)
    before = len(store.reads)
    await asyncio.sleep(5 * PAUSE)
    assert len(store.reads) == before

    told: list[str] = []
    store.append("c1")
    end = reader.subscribe(told.extend)
    await eventually(lambda: told == ["c1"])
    end()


async def test_a_journal_that_cannot_be_read_is_told_once_and_read_again(
    reader: CallbackReader, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(callbacks, "PAUSE_AFTER_A_FAILURE", PAUSE)
    told: list[str] = []
    store.fault = RuntimeError("no supervisor")
    with caplog.at_level(logging.INFO):
        end = reader.subscribe(told.extend)
        await eventually(lambda: len(store.reads) > 5)
        store.append("c1")
        store.fault = None
        await eventually(lambda: told == ["c1"])
    assert [line.levelname for line in caplog.records] == ["WARNING", "INFO"]
    end()


async def test_how_many_ids_are_remembered_has_an_end(
    reader: CallbackReader, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "REMEMBERED", 10)
    end = reader.subscribe(lambda _: None)
    for number in range(25):
        store.append("the same", f"c{number}")
        await eventually(lambda number=number: reader.came(f"c{number}"))  # type: ignore[misc]
    assert [number for number in range(25) if reader.came(f"c{number}")] == list(range(16, 25))
    assert reader.came("the same")
    end()


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_TOKENS", TOKEN)
    prepare.cache_clear()
    yield
    prepare.cache_clear()


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="callbacks are received from Airflow 3.3 on")
@pytest.mark.usefixtures("configured")
async def test_each_event_loop_has_one_reader_where_callbacks_are_configured() -> None:
    reader = reader_of_this_loop()
    assert reader is not None
    assert reader_of_this_loop() is reader


@pytest.mark.usefixtures("configured")
async def test_below_airflow_3_3_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "AIRFLOW_V_3_3_PLUS", False)
    assert reader_of_this_loop() is None


async def test_where_nothing_is_configured_there_is_none() -> None:
    prepare.cache_clear()
    assert reader_of_this_loop() is None


async def test_what_cannot_be_used_is_told_once_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(callbacks, "AIRFLOW_V_3_3_PLUS", True)
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_TOKENS", "canary")
    prepare.cache_clear()
    assert reader_of_this_loop() is reader_of_this_loop() is None
    prepare.cache_clear()
    assert len(caplog.records) == 1
    assert "canary" not in caplog.text


# -- waits that are woken up ---------------------------------------------------------------------------------------


@pytest.fixture
def hints(reader: CallbackReader, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let waits read this reader's journal, and return what appends to it."""
    monkeypatch.setattr("airflow_provider_tavus.triggers.polls.reader_of_this_loop", lambda: reader)
    monkeypatch.setattr("airflow_provider_tavus.triggers.shared_poll.AFTER_A_HINT", 0.2)
    store: Store = reader._read.__self__  # type: ignore[attr-defined]
    return store.append


def deferred(conversation_ids: Sequence[str], *, interval: float = 600.0, **changes: Any) -> asyncio.Task[Any]:
    """A wait as a sensor defers it that has looked itself, a moment ago."""
    now = time.time()
    trigger = ConversationTrigger(
        **{  # type: ignore[arg-type]
            "conversation_ids": list(conversation_ids),
            "wait_for": ["application.transcription_ready"],
            "grace_period": 600,
            "poll_interval": interval,
            "deadline": now + 3600,
            "started_at": now,
            "next_look": now + interval,
        }
        | changes
    )

    async def event() -> Any:
        async for event in trigger.run():
            return event.payload
        raise AssertionError("The trigger ended without an event.")

    return asyncio.create_task(event())


def call() -> Script:
    """A call that goes on until it is ended, and has its transcript at once then."""
    return Script.active(transcript_delay=0.0)


async def test_a_deferred_wait_wakes_up_at_once_when_its_callback_comes(
    hints: Callable[..., None], box: TavusBox
) -> None:
    conversation_id = box.add(call())
    wait = deferred([conversation_id])
    await asyncio.sleep(0.3)
    assert box.count("get") == 0

    box.end(conversation_id)
    hints(conversation_id)

    event = await asyncio.wait_for(wait, 20)
    assert (event["status"], event["conversations"][0]["state"]) == ("done", "ready")
    assert box.count("get") == 1


async def test_a_callback_that_came_before_the_wait_was_handed_over_counts(
    hints: Callable[..., None], reader: CallbackReader, box: TavusBox
) -> None:
    another, conversation_id = deferred([box.add(call())]), box.add(call())
    box.end(conversation_id)
    hints(conversation_id)
    await eventually(lambda: reader.came(conversation_id))

    event = await asyncio.wait_for(deferred([conversation_id]), 20)

    assert event["status"] == "done"
    another.cancel()


async def test_a_callback_that_tells_of_something_else_costs_one_read_and_the_wait_goes_on(
    hints: Callable[..., None], box: TavusBox
) -> None:
    conversation_id = box.add(call())
    wait = deferred([conversation_id])
    await asyncio.sleep(0.2)
    hints(conversation_id)
    await eventually(lambda: box.count("get") == 1)
    await asyncio.sleep(0.3)
    assert box.count("get") == 1
    assert not wait.done()
    wait.cancel()


async def test_whoever_is_not_waited_for_is_not_asked_for(hints: Callable[..., None], box: TavusBox) -> None:
    wait = deferred([box.add(call())])
    await asyncio.sleep(0.2)
    hints("c-unknown", box.add(call()))
    await asyncio.sleep(0.3)
    assert box.count("get") == 0
    wait.cancel()


async def test_a_flood_of_callbacks_of_one_conversation_costs_few_reads(
    hints: Callable[..., None], box: TavusBox
) -> None:
    conversation_id = box.add(call())
    wait = deferred([conversation_id])
    await asyncio.sleep(0.2)
    began = time.monotonic()
    while time.monotonic() < began + 1.0:
        hints(conversation_id)
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.3)
    # One each 0.2 s.
    assert 2 <= box.count("get") <= (time.monotonic() - began) / 0.2 + 1
    wait.cancel()


async def test_the_list_does_not_put_off_who_had_a_callback(hints: Callable[..., None], box: TavusBox) -> None:
    ids = [box.add(call()) for _ in range(20)]
    waits = [deferred([one], interval=30.0) for one in ids]
    await eventually(lambda: box.count("list"))
    box.end(ids[7])
    hints(ids[7])
    assert (await asyncio.wait_for(waits[7], 20))["status"] == "done"
    assert box.count("get") == box.count("get", ids[7]) == 1
    for wait in waits:
        wait.cancel()


async def test_a_pause_that_tavus_asks_for_is_kept_though_callbacks_come(
    hints: Callable[..., None], box: TavusBox
) -> None:
    ids = [box.add(call()) for _ in range(2)]
    waits = [deferred([one]) for one in ids]
    await asyncio.sleep(0.2)
    trouble = box.trouble(route="get", status=429, headers={"Retry-After": "5"})
    hints(ids[0])
    await eventually(lambda: box.count("get") == 1)
    trouble.stop()
    for one in ids:
        box.end(one)
    for _ in range(10):
        hints(*ids)
        await asyncio.sleep(0.1)
    assert box.count("get") == 1
    assert [(await asyncio.wait_for(wait, 20))["status"] for wait in waits] == ["done", "done"]
