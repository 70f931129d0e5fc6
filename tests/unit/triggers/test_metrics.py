"""How late a wait knew; that the metrics arrive is shown by the system tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.callbacks import metrics as callback_metrics
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.triggers import metrics

NOON = 1_800_000_000.0
TRANSCRIPT = "application.transcription_ready"


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    told: list[float] = []
    monkeypatch.setattr(
        callback_metrics, "Stats", SimpleNamespace(timing=lambda _, late: told.append(late.total_seconds()))
    )
    return told


def wakes_up(*events: tuple[str, float | None], now: float) -> None:
    body: dict[str, Any] = {
        "conversation_id": "c1",
        "status": "ended",
        "events": [{"event_type": event_type, "timestamp": time} for event_type, time in events],
    }
    wait = Wait(("c1",), (TRANSCRIPT,), 600, Schedule(started_at=NOON, interval=5, deadline=NOON + 3600))
    metrics.a_wait_woke_up(wait, Conversation.from_json(body), now)


def test_the_last_of_the_events_that_were_waited_for_counts(seconds: list[float]) -> None:
    wakes_up(("system.shutdown", NOON + 10), (TRANSCRIPT, NOON + 12), ("canvas.interaction", NOON + 14), now=NOON + 15)

    assert seconds == [3.0]


def test_what_had_happened_before_the_wait_began_says_nothing_about_it(seconds: list[float]) -> None:
    wakes_up(("system.shutdown", NOON - 100), (TRANSCRIPT, NOON - 90), now=NOON + 1)

    assert seconds == []


def test_events_without_a_time_say_nothing(seconds: list[float]) -> None:
    wakes_up(("system.shutdown", None), (TRANSCRIPT, None), now=NOON + 1)

    assert seconds == []


def test_nobody_notices_that_they_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> None:
        raise OSError("no StatsD server there")

    monkeypatch.setattr(callback_metrics, "Stats", SimpleNamespace(incr=unreachable, timing=unreachable))

    metrics.prepare()
    for tell in (
        metrics.a_wait_began,
        metrics.a_wait_is_over,
        metrics.the_list_was_asked,
        metrics.a_conversation_was_read,
    ):
        tell()
    wakes_up(("system.shutdown", NOON + 10), (TRANSCRIPT, NOON + 12), now=NOON + 15)
