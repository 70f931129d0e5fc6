"""The numbers of a conversation. A turn is written `says(role, start, duration)`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.models import Turn
from airflow_provider_tavus.conversations.statistics import Statistics, statistics
from airflow_provider_tavus.conversations.turns import starts

NOON = datetime(2026, 8, 11, 12, tzinfo=UTC)


def says(role: str | None, start: float | None = None, duration: float | None = None, content: Any = "words") -> Turn:
    return Turn(role=role, content=content, seconds_from_start=start, duration=duration)


def stamped(role: str, after_noon: float | None, duration: float | None = None, **others: Any) -> Turn:
    timestamp = None if after_noon is None else (NOON + timedelta(seconds=after_noon)).isoformat()
    return Turn.from_json({"role": role, "content": "words", "timestamp": timestamp, "duration": duration} | others)


def test_a_whole_conversation() -> None:
    found = statistics(
        [
            says("system", None, None, "You are Anna"),
            says("assistant", 0, 2),
            says("user", 3, 1),
            says("system", 4.5, None, "Retrieved passages"),
            says("assistant", 4.5, 5),
            says("user", 10, 2),
            says("assistant", 13.5, 2),
        ]
    )

    assert found == Statistics(
        turns=7,
        user_turns=2,
        assistant_turns=3,
        user_talk_seconds=3,
        assistant_talk_seconds=9,
        user_talk_share=0.25,
        assistant_talk_share=0.75,
        longest_turn_seconds=5,
        longest_turn_role="assistant",
        silence_seconds=3.5,
        longest_silence_seconds=1.5,
        responses=2,
        response_latency_mean_seconds=1,
        response_latency_median_seconds=1,
        response_latency_max_seconds=1.5,
    )


def test_without_a_transcript_nothing_is_known() -> None:
    assert set(statistics(None)) == {None}


def test_where_nobody_spoke_there_is_no_share_and_no_silence() -> None:
    found = statistics([says("system", 0, 1)])

    assert (found.turns, found.user_turns, found.user_talk_seconds) == (1, 0, 0)
    assert (found.user_talk_share, found.longest_turn_seconds, found.silence_seconds) == (None, None, None)


def test_turns_without_times_are_counted_and_nothing_else() -> None:
    found = statistics([says("user"), says("assistant"), says("assistant"), says("user"), says("assistant")])

    known = {name: value for name, value in found._asdict().items() if value is not None}
    assert known == {"turns": 5, "user_turns": 2, "assistant_turns": 3, "responses": 2}


def test_one_missing_duration_leaves_unknown_only_what_it_is_needed_for() -> None:
    found = statistics([says("user", 0, 1), says("assistant", 2), says("user", 5, 1), says("assistant", 7, 1)])

    assert found.user_talk_seconds == 2
    assert (found.assistant_talk_seconds, found.user_talk_share, found.silence_seconds) == (None, None, None)
    assert (found.longest_turn_seconds, found.longest_turn_role) == (None, None)
    assert found.response_latency_mean_seconds == 1


def test_a_role_that_we_do_not_know_takes_its_part_of_the_talk() -> None:
    found = statistics([says("user", 0, 1), says("guest", 1, 3)])

    assert (found.user_talk_share, found.assistant_talk_share) == (0.25, 0)
    assert (found.longest_turn_role, found.turns) == ("guest", 2)


@pytest.mark.parametrize(
    "unspoken",
    [
        says("tool", 0, 9),
        says("system", 0, 9),
        says(None, 0, 9),
        says("assistant", 0, 9, None),
        says("assistant", 0, 9, " \n"),
    ],
)
def test_what_nobody_said_is_no_talk(unspoken: Turn) -> None:
    found = statistics([says("user", 0, 1), unspoken, says("assistant", 3, 1)])

    assert (found.assistant_talk_seconds, found.longest_silence_seconds) == (1, 2)
    assert (found.responses, found.response_latency_mean_seconds) == (1, 2)


def test_two_who_speak_at_once_are_not_silent() -> None:
    found = statistics([says("user", 0, 10), says("assistant", 2, 3), says("user", 12, 1)])

    assert (found.silence_seconds, found.longest_silence_seconds) == (2, 2)
    assert found.response_latency_mean_seconds == -8


def test_turns_are_taken_in_the_order_in_which_they_began() -> None:
    found = statistics([says("assistant", 5, 1), says("user", 0, 1)])

    assert (found.responses, found.response_latency_max_seconds, found.silence_seconds) == (1, 4, 4)


def test_timestamps_serve_where_no_seconds_from_start_are_told() -> None:
    found = statistics([stamped("user", 0, 1.2), stamped("assistant", 3.3, 1), stamped("user", 5, 1)])

    assert (found.response_latency_mean_seconds, found.longest_silence_seconds) == (2.1, 2.1)
    assert starts([stamped("user", 7.25), stamped("user", 5), stamped("user", None)]) == [2.25, 0, None]


def test_a_turn_with_both_times_joins_the_two_clocks() -> None:
    both = stamped("user", 10, seconds_from_start=4)

    assert starts([stamped("user", 7), both, says("user", 6)]) == [1, 4, 6]
    assert starts([stamped("user", 7), says("user", 6)]) == [None, 6]


def test_turns_stay_in_the_order_of_the_transcript_where_one_start_is_unknown() -> None:
    found = statistics([says("user", 5, 1), says("assistant", None, 1), says("user", 9, 1), says("assistant", 4, 1)])

    assert (found.responses, found.response_latency_max_seconds, found.silence_seconds) == (2, None, None)


def test_turns_that_began_at_once_stay_in_the_order_of_the_transcript() -> None:
    found = statistics([says("user", 2, 3), says("user", 0, 1), says("assistant", 2, 3)])

    assert (found.responses, found.response_latency_max_seconds, found.longest_turn_role) == (1, -3, "user")


def test_a_negative_duration_is_none() -> None:
    assert statistics([says("user", 0, -1)]).user_talk_seconds is None

    found = statistics([says("user", 0, 1), says("assistant", 2, -1), says("user", 5, 0), says("assistant", 7, 3)])

    assert (found.user_talk_seconds, found.assistant_talk_seconds, found.user_talk_share) == (1, None, None)
    assert (found.longest_turn_seconds, found.silence_seconds, found.response_latency_max_seconds) == (None, None, 2)


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
roles = st.sampled_from(["user", "assistant", "system", "guest", None])


@given(st.lists(st.builds(says, roles, numbers, numbers)))
def test_no_numbers_are_too_odd(turns: list[Turn]) -> None:
    found = statistics(turns)

    for share in (found.user_talk_share, found.assistant_talk_share):
        assert share is None or 0 <= share <= 1
    for seconds in (found.silence_seconds, found.longest_silence_seconds, found.user_talk_seconds):
        assert seconds is None or 0 <= seconds < float("inf")
