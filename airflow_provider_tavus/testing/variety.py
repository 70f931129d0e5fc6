"""Conversations drawn at random: mostly ordinary, sometimes odd, and the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from airflow_provider_tavus.testing.catalogue import FURTHER_EVENTS, SHUTDOWN_REASONS, TURNS
from airflow_provider_tavus.testing.script import Script
from airflow_provider_tavus.testing.shapes import SPELLINGS, Shape
from airflow_provider_tavus.testing.small_talk import SMALL_TALK
from airflow_provider_tavus.testing.turns import RawTurn, Turn

TRANSCRIPT_DELAYS = (-1.0, 0.001, 0.4, 1.0, 30.0, 60.0, 120.0)
"""Seconds from the shutdown to the transcript, as seen in the wild."""


def drawn_script(luck: random.Random | int, *, oddity: float = 0.2, longest: float = 3600.0) -> Script:
    """
    Return a conversation that ends by itself.

    :param luck: where the chances come from; a number is a seed.
    :param oddity: how likely each thing in it is out of the ordinary, from 0 to 1.
    :param longest: how long it may last, in seconds.
    """
    if isinstance(luck, int):
        luck = random.Random(luck)  # noqa: S311 - a play needs no secrecy
    if luck.random() < oddity / 2:
        untranscribed = luck.choice((Script.nobody_joined, Script.startup_failure, Script.test_mode))
        return untranscribed().but(names=luck.choice(("old", "new")))
    seconds = round(min(longest, 30.0 * 10 ** luck.uniform(0, 2)), 3)
    delay = luck.choice(TRANSCRIPT_DELAYS)
    script = Script.finished(
        seconds=seconds,
        turns=drawn_turns(luck, seconds=seconds, oddity=oddity),
        shutdown_reason=_shutdown_reason(luck, oddity),
        transcript_delay=None if luck.random() < oddity / 10 else delay,
        transcript_again=delay + 60 if luck.random() < oddity / 4 else None,
        further_events=tuple(event for event in FURTHER_EVENTS.values() if luck.random() < oddity),
    )
    return replace(script, shape=drawn_shape(luck, oddity=oddity))


def drawn_turns(luck: random.Random, *, seconds: float, oddity: float) -> tuple[Turn | RawTurn, ...]:
    """Return what is said in a call of some seconds; now and then a line is said twice in a row."""
    count = luck.randint(2, max(3, min(60, int(seconds / 10))))
    turns: list[Turn | RawTurn] = []
    if luck.random() < 0.5:
        turns.append(TURNS["system_prompt"])
    for number in range(count):
        at = round(2 + (seconds - 4) * number / count, 2)
        role, content = SMALL_TALK[number % len(SMALL_TALK)]
        turn: Turn | RawTurn = Turn(role, content, at=at, duration=round(luck.uniform(0.5, 5), 2))
        if luck.random() < oddity:
            turn = replace(luck.choice(tuple(TURNS.values())), at=at)
        turns.append(turn)
        if luck.random() < oddity / 4:
            turns.append(turn)
    return tuple(turns)


def drawn_shape(luck: random.Random, *, oddity: float) -> Shape:
    """Return a spelling; what would hide the events altogether is rarer still."""
    odd: dict[str, Any] = {}
    for field, spellings in SPELLINGS.items():
        rare = field in {"events", "minimal", "empty_transcript_properties"}
        if luck.random() < (oddity / 10 if rare else oddity):
            odd[field] = luck.choice(spellings)
    return Shape(**odd)


def _shutdown_reason(luck: random.Random, oddity: float) -> str | None:
    if luck.random() >= oddity:
        return "participant_left_timeout"
    return luck.choice((*SHUTDOWN_REASONS, None))
