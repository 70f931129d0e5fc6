from __future__ import annotations

from typing import Any

from airflow_provider_tavus.api.errors import AuthenticationError, RateLimitError, ServerError
from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait

START = 1_800_000_000.0


def wait_for(*conversation_ids: str) -> Wait:
    schedule = Schedule(started_at=START, interval=60, deadline=START + 3600)
    return Wait(conversation_ids, ("application.transcription_ready",), 600, schedule)


def conversation(conversation_id: str, status: str, *event_types: str) -> Conversation:
    events: list[Any] = [{"event_type": event_type} for event_type in event_types]
    return Conversation.from_json({"conversation_id": conversation_id, "status": status, "events": events})


def test_only_the_undecided_are_read_again() -> None:
    wait = wait_for("c1", "c2")

    wait.saw(conversation("c1", "ended", "application.transcription_ready"), START)

    assert wait.undecided == ["c2"]


def test_nothing_to_wait_for_is_over_at_once() -> None:
    assert wait_for().undecided == []
    assert wait_for().results() == []


def test_only_a_change_is_news() -> None:
    wait = wait_for("c1")

    assert wait.saw(conversation("c1", "active"), START) == (
        "Conversation c1 is active; waiting for application.transcription_ready."
    )
    assert wait.saw(conversation("c1", "active"), START + 60) is None
    assert wait.saw(conversation("c1", "ended"), START + 120) is not None


def test_the_grace_of_one_whose_end_is_not_told_counts_from_when_that_one_was_last_seen_going_on() -> None:
    wait = wait_for("c1", "c2")
    wait.saw(conversation("c1", "active"), START + 2000)

    for conversation_id in wait.conversation_ids:
        wait.saw(conversation(conversation_id, "ended"), START + 2060)

    assert [verdict.state for verdict in wait.verdicts.values()] == ["waiting", "never"]
    wait.saw(conversation("c1", "ended"), START + 2600)
    assert wait.verdicts["c1"].state == "never"


def test_a_fault_is_news_when_it_begins_and_when_it_ends() -> None:
    wait = wait_for("c1")
    wait.saw(conversation("c1", "active"), START)

    assert "the wait goes on" in (wait.missed("c1", ServerError("500.")) or "")
    assert wait.missed("c1", ServerError("500.")) is None
    assert wait.saw(conversation("c1", "active"), START + 180) is not None
    assert wait.failure is None


def test_an_error_that_waiting_cannot_cure_is_the_failure_of_the_wait() -> None:
    wait = wait_for("c1", "c2")
    error = AuthenticationError("No.")

    wait.missed("c1", error)

    assert wait.failure is error


def test_a_look_is_put_off_for_as_long_as_tavus_asks() -> None:
    wait = wait_for("c1")
    wait.missed("c1", RateLimitError("429.", retry_after=300))
    assert wait.next_look(START) == START + 300

    wait.missed("c1", RateLimitError("429.", retry_after=1e12))
    assert wait.next_look(START) == START + 3600

    wait.missed("c1", RateLimitError("429.", retry_after=3))
    assert wait.next_look(START) == START + 60

    wait.saw(conversation("c1", "active"), START)
    assert wait.next_look(START) == START + 60
