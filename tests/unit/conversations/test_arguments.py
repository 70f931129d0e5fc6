from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.conversations.arguments import LONGEST, checked_event_types, checked_ids, seconds


@pytest.mark.parametrize(
    ("duration", "in_seconds"),
    [(0, 0.0), (1.5, 1.5), (timedelta(minutes=2), 120.0), (LONGEST, 315_619_200.0), (315_619_200, 315_619_200.0)],
)
def test_a_duration_is_seconds_or_a_timedelta_of_up_to_ten_years(
    duration: float | timedelta, in_seconds: float
) -> None:
    assert seconds("timeout", duration) == in_seconds


@pytest.mark.parametrize(
    "duration",
    [math.inf, 1e14, pytest.param(10**400, id="beyond all floats"), timedelta.max, LONGEST + timedelta(microseconds=1)],
)
def test_a_duration_that_overflows_later_is_refused_by_the_arguments_name(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match=r"timeout must be ten years or less, not .*timedelta\(days=3653\) for no end"):
        seconds("timeout", duration)


@pytest.mark.parametrize("duration", [-1, -math.inf, math.nan, timedelta(seconds=-1)], ids=str)
def test_a_duration_below_nothing_is_refused_by_the_arguments_name(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match="timeout must be 0 seconds or more, not"):
        seconds("timeout", duration)


@pytest.mark.parametrize("duration", [None, "soon", [1]], ids=repr)
def test_what_is_no_duration_is_refused_by_the_arguments_name(duration: Any) -> None:
    with pytest.raises(ValueError, match="grace_period must be a number of seconds or a timedelta, not"):
        seconds("grace_period", duration)


def test_the_whole_result_of_a_task_is_no_id_and_is_not_shown() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"conversation_id is a mapping.*output\['conversation_id'\]"
    ) as refused:
        checked_ids({"conversation_id": "c1", "conversation_url": "secret"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("conversation_id", [None, 7], ids=repr)
def test_what_is_neither_an_id_nor_a_list_is_refused(conversation_id: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="conversation_id must be an id or a list of ids, not"):
        checked_ids(conversation_id)


def test_a_url_is_no_id_and_is_not_shown() -> None:
    with pytest.raises(InvalidArgumentError, match="is a URL: pass the id alone") as refused:
        checked_ids("https://tavus.daily.co/c123456")
    assert "daily" not in str(refused.value)


def test_what_is_no_list_of_event_types_is_refused_with_what_to_pass() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"wait_for must be event types, not NoneType: \[\] is the end alone"
    ):
        checked_event_types(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wait_for",
    [
        "application.transcription_ready,application.recording_ready",
        "application.transcription_ready application.recording_ready",
        "application.transcription_ready\n",
        ["system.shutdown", " application.recording_ready"],
        "{'application.recording_ready'}",
        "transcription_ready",
    ],
    ids=repr,
)
def test_what_no_event_has_as_its_type_is_not_waited_for(wait_for: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="in wait_for is no event type"):
        checked_event_types(wait_for)


def test_event_types_that_are_not_documented_can_be_waited_for() -> None:
    assert checked_event_types(["canvas.interaction", "a.b-c.d_2"]) == ("canvas.interaction", "a.b-c.d_2")
