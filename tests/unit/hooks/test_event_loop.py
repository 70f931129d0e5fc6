from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_tavus.hooks import event_loop
from airflow_provider_tavus.hooks.event_loop import run_interruptibly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def raise_timeout(*_: Any) -> None:
    """As the handler does that Airflow has for its time-outs."""
    raise AirflowTaskTimeout("too long")


@contextmanager
def handled(number: signal.Signals, handler: Callable[..., None]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) is handler
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(number, before)


async def _says(answer: str) -> str:
    await asyncio.sleep(0)
    return answer


def test_what_is_done_is_handed_out() -> None:
    assert run_interruptibly(_says("this")) == "this"


def test_so_it_is_in_another_thread_where_signals_cannot_be_handled() -> None:
    said = []
    thread = threading.Thread(target=lambda: said.append(run_interruptibly(_says("this"))))
    thread.start()
    thread.join()
    assert said == ["this"]


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGTERM])
def test_what_a_signal_raises_in_a_callback_ends_the_work_once_it_has_cleaned_up(number: signal.Signals) -> None:
    cleaned_up = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, number)
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(True)

    with handled(number, raise_timeout), pytest.raises(AirflowTaskTimeout, match="too long"):
        run_interruptibly(work())

    assert cleaned_up


def test_work_that_does_not_let_the_loop_have_its_turn_is_struck_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "PATIENCE", 0.1)

    async def work() -> None:
        signal.raise_signal(signal.SIGALRM)
        time.sleep(30)  # noqa: ASYNC251 - so it is

    with handled(signal.SIGALRM, raise_timeout), pytest.raises(AirflowTaskTimeout, match="too long"):
        run_interruptibly(work())


def test_a_signal_that_raises_nothing_leaves_the_work_alone() -> None:
    heard = []

    async def work() -> str:
        signal.raise_signal(signal.SIGTERM)
        return await _says("this")

    with handled(signal.SIGTERM, lambda *_: heard.append(True)):
        assert run_interruptibly(work()) == "this"

    assert heard
