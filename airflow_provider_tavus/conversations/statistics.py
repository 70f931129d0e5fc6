"""
How a conversation went, in numbers: who spoke how much, how long it was silent, how fast the answers came.

Only what Tavus sent is computed with. Turns often come without times, so every number has one rule: it is None as
soon as one of the turns that it is about lacks what it needs. Nothing is estimated from the text, and no sum is
handed out that leaves a turn out in silence.
"""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_tavus.conversations.turns import is_spoken, starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.conversations.turns import Turn


class Statistics(NamedTuple):
    """
    The numbers of one conversation. Durations are seconds. Only turns that somebody spoke count, but in ``turns``.

    :param turns: all turns of the transcript, those of ``system`` and ``tool`` among them.
    :param user_turns: turns that the person spoke.
    :param assistant_turns: turns that the AI spoke.
    :param user_talk_seconds: the durations of the person's turns, added up.
    :param assistant_talk_seconds: the durations of the AI's turns, added up.
    :param user_talk_share: the person's part of all that was spoken, by whatever role: from 0 to 1.
    :param assistant_talk_share: the AI's part of it.
    :param longest_turn_seconds: the duration of the longest turn.
    :param longest_turn_role: who spoke it; the first, if two are as long.
    :param silence_seconds: how long nobody spoke between the first word and the last.
    :param longest_silence_seconds: the longest such pause.
    :param responses: how often a turn of the AI followed one of the person.
    :param response_latency_mean_seconds: from the end of such a turn of the person to the start of the AI's, on
        average. Negative where the AI began before the person had ended.
    :param response_latency_median_seconds: the median of the same.
    :param response_latency_max_seconds: the longest of them.
    """

    turns: int | None = None
    user_turns: int | None = None
    assistant_turns: int | None = None
    user_talk_seconds: float | None = None
    assistant_talk_seconds: float | None = None
    user_talk_share: float | None = None
    assistant_talk_share: float | None = None
    longest_turn_seconds: float | None = None
    longest_turn_role: str | None = None
    silence_seconds: float | None = None
    longest_silence_seconds: float | None = None
    responses: int | None = None
    response_latency_mean_seconds: float | None = None
    response_latency_median_seconds: float | None = None
    response_latency_max_seconds: float | None = None


def statistics(turns: Sequence[Turn] | None) -> Statistics:
    """
    Return the numbers of a transcript.

    :param turns: all its turns, in their order; None if there is no transcript.
    """
    if turns is None:
        return Statistics()
    spoken = _spoken(turns)
    durations = [duration for _, _, duration in spoken]
    whole = _sum(durations)
    by_user = [duration for role, _, duration in spoken if role == "user"]
    by_assistant = [duration for role, _, duration in spoken if role == "assistant"]
    user_talk_seconds, assistant_talk_seconds = _sum(by_user), _sum(by_assistant)
    longest = max(filter(None, durations), default=0.0) if spoken and whole is not None else None
    silences = _silences(spoken)
    latencies = _latencies(spoken)
    known = [latency for latency in latencies if latency is not None]
    told = len(known) == len(latencies) > 0
    return Statistics(
        turns=len(turns),
        user_turns=len(by_user),
        assistant_turns=len(by_assistant),
        user_talk_seconds=user_talk_seconds,
        assistant_talk_seconds=assistant_talk_seconds,
        user_talk_share=_share(user_talk_seconds, whole),
        assistant_talk_share=_share(assistant_talk_seconds, whole),
        longest_turn_seconds=longest,
        longest_turn_role=None if longest is None else spoken[durations.index(longest)][0],
        silence_seconds=_sum(silences) if silences is not None else None,
        longest_silence_seconds=_rounded(max(silences, default=0.0)) if silences is not None else None,
        responses=len(latencies),
        response_latency_mean_seconds=_rounded(sum(known) / len(known)) if told else None,
        response_latency_median_seconds=_rounded(median(known)) if told else None,
        response_latency_max_seconds=_rounded(max(known)) if told else None,
    )


Spoken = tuple[str | None, float | None, float | None]
"""A spoken turn: who spoke, from when on, and how long; None where it is not known."""


def _spoken(turns: Sequence[Turn]) -> list[Spoken]:
    """Return all spoken turns in the order of the transcript, or of their starts if all of these are known."""
    spoken: list[Spoken] = [
        (turn.role, start, None if (duration := turn.duration) is not None and duration < 0 else duration)
        for turn, start in zip(turns, starts(turns), strict=True)
        if is_spoken(turn)
    ]
    try:
        return sorted(spoken, key=itemgetter(1))
    except TypeError:
        # One start is None.
        return spoken


def _sum(seconds: Sequence[Any]) -> float | None:
    try:
        # To look for a None first takes longer than to add all up.
        return _rounded(sum(seconds, 0.0))
    except TypeError:
        return None


def _rounded(value: float) -> float | None:
    # To microseconds, so that tenths add up to tenths. What is beyond all measure adds up to nothing known.
    return round(value, 6) if isfinite(value) else None


def _share(part: float | None, whole: float | None) -> float | None:
    return _rounded(part / whole) if part is not None and whole else None


def _silences(spoken: list[Spoken]) -> list[float] | None:
    """Return the pauses in which nobody spoke; None if they cannot be known."""
    silences = []
    quiet_from: float | None = None
    for _, start, duration in spoken:
        if start is None or duration is None:
            return None
        if quiet_from is not None and start > quiet_from:
            silences.append(start - quiet_from)
        end = start + duration
        quiet_from = end if quiet_from is None or end > quiet_from else quiet_from
    return silences if spoken else None


def _latencies(spoken: list[Spoken]) -> list[float | None]:
    """Return how long the AI took to answer each time; None where that cannot be known."""
    return [
        None if said_at is None or duration is None or answered_at is None else answered_at - said_at - duration
        for (said_by, said_at, duration), (answered_by, answered_at, _) in pairwise(spoken)
        if said_by == "user" and answered_by == "assistant"
    ]
