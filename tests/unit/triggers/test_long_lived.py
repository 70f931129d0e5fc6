"""Many waits do not make Python's collections of garbage long, and are given free when they are over."""

from __future__ import annotations

import asyncio
import gc
import time
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.testing import Script
from airflow_provider_tavus.triggers import long_lived, polls
from airflow_provider_tavus.triggers.watched import Waiter, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.testing import TavusBox

MANY = 20


@pytest.fixture(autouse=True)
def something(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Something that a full collection looks at before the test and after it."""
    monkeypatch.setattr(long_lived, "MANY", MANY)
    something: list[Any] = []
    assert not is_frozen(something)
    yield something
    assert not is_frozen(something)


def is_frozen(something: list[Any]) -> bool:
    # To count what is frozen would not do: Python 3.12 freezes some objects of its own in each collection.
    return not any(one is something for one in gc.get_objects())


def wait_for(conversation_id: str, box: TavusBox) -> asyncio.Task[None]:
    now = time.time()
    wait = Wait((conversation_id,), ("application.transcription_ready",), 600, Schedule(now, 0.2, now + 60))
    return asyncio.create_task(
        polls.carry_out(wait, ClientSettings(api_key=box.api_key, base_url=box.base_url), None, str)
    )


def collected() -> int:
    """How many waits and conversations a full collection looks at."""
    return sum(isinstance(one, Waiter | Watched) for one in gc.get_objects())


async def test_a_full_collection_looks_at_few_of_many_waits(box: TavusBox) -> None:
    waits = [wait_for(box.add(Script.active()), box) for _ in range(3 * MANY + 5)]
    while box.count("get") < len(waits):  # noqa: ASYNC110 - the box is in another thread
        await asyncio.sleep(0.05)
    assert collected() == 2 * 5
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_a_wait_that_is_over_leaves_no_circle_that_only_a_collection_would_free(box: TavusBox) -> None:
    ends = Script.finished(seconds=1, transcript_delay=0)
    waits = [wait_for(box.add(ends), box) for _ in range(2 * MANY)]
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await asyncio.gather(*waits)
        del waits
        gc.collect()
        assert [one for one in gc.garbage if is_of_a_wait(one)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def is_of_a_wait(one: Any) -> bool:
    # Not isinstance(): among the garbage of others may be a proxy of something that is gone.
    return issubclass(type(one), (Waiter, Watched, Wait, asyncio.Task, CoroutineType))


def test_few_waits_change_nothing(something: list[Any]) -> None:
    for _ in range(MANY - 1):
        long_lived.a_wait_began()
        assert not is_frozen(something)
    for _ in range(MANY - 1):
        long_lived.a_wait_is_over()
    # As many again, one at a time.
    for _ in range(2 * MANY):
        long_lived.a_wait_began()
        long_lived.a_wait_is_over()
    assert not is_frozen(something)


def test_as_soon_as_they_are_few_again_the_collector_sees_everything(something: list[Any]) -> None:
    for _ in range(MANY):
        long_lived.a_wait_began()
    for left in reversed(range(MANY)):
        assert is_frozen(something)
        long_lived.a_wait_is_over()
        if left < MANY // 2:
            break
    assert not is_frozen(something)
    for _ in range(left):
        long_lived.a_wait_is_over()
