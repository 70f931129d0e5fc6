from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.conversations.readiness import Verdict, judge

END = datetime(2026, 4, 29, 3, 47, 1, tzinfo=UTC).timestamp()
JOINED = {"event_type": "system.replica_joined", "timestamp": "2026-04-29T03:45:53Z"}
TRANSCRIPT = {"event_type": "application.transcription_ready", "timestamp": "2026-04-29T03:47:00Z"}
SHUTDOWN = {
    "event_type": "system.shutdown",
    "timestamp": "2026-04-29T03:47:01Z",
    "properties": {"reason": "participant_left_timeout"},
}
PERCEPTION = "application.perception_analysis"


def verdict(
    *events: Any,
    status: Any = "ended",
    wait_for: Any = ("application.transcription_ready",),
    now: float = END,
    went_on_at: float | None = None,
    **body: Any,
) -> Verdict:
    conversation = Conversation.from_json({"conversation_id": "c1", "status": status, "events": list(events)} | body)
    return judge(
        conversation,
        wait_for=tuple(wait_for),
        grace_period=600,
        now=now,
        waiting_since=END - 3600,
        went_on_at=went_on_at,
    )


@pytest.mark.parametrize("events", list(itertools.permutations([JOINED, TRANSCRIPT, SHUTDOWN])))
def test_ended_with_a_transcript_is_ready_in_whatever_order_the_events_came(events: Any) -> None:
    assert verdict(*events).state == "ready"


def test_it_is_ready_when_the_last_came_of_its_end_and_the_wanted_events() -> None:
    late = TRANSCRIPT | {"timestamp": "2026-04-29T03:50:00Z"}

    assert verdict(late, SHUTDOWN).ready_at == "2026-04-29T03:50:00Z"
    assert verdict(late, SHUTDOWN, wait_for=()).ready_at == verdict(SHUTDOWN).ended_at
    assert verdict(SHUTDOWN).ready_at is None


def test_a_transcript_that_comes_before_the_end_is_not_enough() -> None:
    assert verdict(JOINED, TRANSCRIPT, status="active").state == "waiting"


def test_an_end_without_the_transcript_is_not_enough() -> None:
    waiting = verdict(JOINED, SHUTDOWN)

    assert waiting.state == "waiting"
    assert waiting.missing == ("application.transcription_ready",)


def test_every_wanted_event_counts() -> None:
    wanted = ("application.transcription_ready", PERCEPTION)

    assert verdict(TRANSCRIPT, SHUTDOWN, wait_for=wanted).missing == (PERCEPTION,)
    assert verdict(TRANSCRIPT, SHUTDOWN, {"event_type": PERCEPTION}, wait_for=wanted).state == "ready"


@pytest.mark.parametrize(
    ("first", "second", "latest"),
    [
        ("2026-04-29T03:47:01Z", "2026-04-29T03:50:00Z", "second"),
        ("2026-04-29T03:50:00Z", "2026-04-29T03:47:01Z", "first"),
        ("2026-04-29T03:47:01Z", "2026-04-29T03:47:01Z", "second"),
        ("2026-04-29T03:47:01Z", None, "first"),
        (None, None, "second"),
    ],
)
def test_of_several_shutdowns_the_latest_counts(first: Any, second: Any, latest: str) -> None:
    shutdowns = [
        {"event_type": "system.shutdown", "timestamp": time, "properties": {"reason": reason}}
        for time, reason in ((first, "first"), (second, "second"))
    ]
    told = verdict(*shutdowns, TRANSCRIPT)

    assert told.shutdown_reason == latest
    assert told.ended_at == {"first": first, "second": second}[latest]
    assert told.ready_at == (told.ended_at or TRANSCRIPT["timestamp"])


@pytest.mark.parametrize("status", ["ended", "Ended", " ended ", "archived", "error"])
def test_every_status_but_active_is_an_end(status: str) -> None:
    assert verdict(TRANSCRIPT, status=status).state == "ready"


@pytest.mark.parametrize("status", ["active", "ACTIVE", None, "", {}])
def test_an_active_or_untold_status_is_no_end(status: Any) -> None:
    assert verdict(TRANSCRIPT, SHUTDOWN, status=status, now=END + 1e6).state == "waiting"


def test_the_grace_counts_from_the_shutdown() -> None:
    assert verdict(SHUTDOWN, now=END + 599.9, updated_at="2026-04-29T09:00:00Z").state == "waiting"
    assert verdict(SHUTDOWN, now=END + 600, updated_at="2026-04-29T09:00:00Z").state == "never"


def test_without_a_shutdown_the_grace_counts_from_the_last_change() -> None:
    assert verdict(JOINED, now=END + 599.9, updated_at="2026-04-29T03:47:01Z").state == "waiting"
    assert verdict(JOINED, now=END + 600, updated_at="2026-04-29T03:47:01Z").state == "never"


def test_without_a_shutdown_the_grace_counts_from_the_newest_event_if_that_came_after_the_last_change() -> None:
    last = {"event_type": "application.recording_ready", "timestamp": "2026-04-29T03:47:01Z"}
    assert verdict(last, JOINED, now=END + 599.9, updated_at="2026-04-29T03:40:00Z").state == "waiting"
    assert verdict(last, JOINED, now=END + 600, updated_at="2026-04-29T03:40:00Z").state == "never"
    assert verdict(last, JOINED, now=END + 599.9).state == "waiting"
    assert verdict(last, JOINED, now=END + 600).state == "never"


def test_without_either_the_grace_counts_from_the_start_of_the_wait_and_not_from_the_creation() -> None:
    created: dict[str, Any] = {"created_at": "2026-04-29T00:00:00Z"}
    joined = JOINED | {"timestamp": None}
    assert verdict(joined, now=END - 3600 + 599.9, **created).state == "waiting"
    assert verdict(joined, now=END - 3600 + 600, **created).state == "never"


@pytest.mark.parametrize("updated_at", [None, "", "2026-04-29T02:47:01Z"])
def test_without_a_shutdown_the_grace_is_not_over_before_it_could_have_begun(updated_at: Any) -> None:
    going_on: dict[str, Any] = {"went_on_at": END, "updated_at": updated_at}
    assert verdict(JOINED, now=END + 599.9, **going_on).state == "waiting"
    assert verdict(JOINED, now=END + 600, **going_on).state == "never"


def test_a_shutdown_that_is_told_counts_whatever_was_seen_later() -> None:
    assert verdict(SHUTDOWN, now=END + 600, went_on_at=END + 60).state == "never"


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([], "test_mode"),
        ([SHUTDOWN], "not_in_time"),
        ([SHUTDOWN | {"properties": {"shutdown_reason": "participant_absent_timeout reached"}}], "nobody_joined"),
        (
            [SHUTDOWN | {"properties": {"reason": "exception_encountered_during_conversation_startup"}}],
            "startup_failure",
        ),
        ([SHUTDOWN | {"properties": {"reason": "internal error occurred at step 7"}}], "startup_failure"),
        ([SHUTDOWN | {"properties": {}}], "not_in_time"),
        ([SHUTDOWN | {"properties": None}], "not_in_time"),
    ],
)
def test_never_says_why(events: list[Any], reason: str) -> None:
    assert verdict(*events, now=END + 600, updated_at="2026-04-29T03:47:01Z").reason == reason


def test_what_tavus_reports_as_unavailable_is_not_waited_for() -> None:
    unavailable = {"event_type": "application.perception_unavailable", "properties": {"reason": "empty_summary"}}

    assert verdict(SHUTDOWN, unavailable, wait_for=[PERCEPTION]).reason == "reported_unavailable"
    assert verdict(SHUTDOWN, unavailable, wait_for=[PERCEPTION, "application.recording_ready"]).state == "waiting"


@pytest.mark.parametrize(
    "untyped", [{}, {"event_type": None}, {"event_type": 7}, {"timestamp": "2026-04-29T03:47:00Z"}]
)
def test_an_event_without_a_type_does_not_report_anything_as_unavailable(untyped: Any) -> None:
    assert verdict(SHUTDOWN, untyped).state == "waiting"
    assert verdict(SHUTDOWN, untyped, TRANSCRIPT).state == "ready"


def test_a_verdict_survives_plain_json_and_says_itself_in_a_sentence() -> None:
    never = verdict(SHUTDOWN, now=END + 600)

    assert Verdict.from_plain(never.as_plain()) == never
    assert str(never) == (
        "Conversation c1 will not get application.transcription_ready: they did not come within the grace period "
        "after its end (shutdown reason: participant_left_timeout)."
    )
