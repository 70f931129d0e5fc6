"""Named worlds that the command can start with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.archive import Archive
from airflow_provider_tavus.testing.script import Script, small_talk
from airflow_provider_tavus.testing.variety import drawn_script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_tavus.testing.box import TavusBox

DEMO_CONVERSATION = "cdemo0001"
HOUR = 3600.0


def empty(box: TavusBox) -> None:
    """Nothing is there yet."""


def demo(box: TavusBox) -> None:
    """One call, cdemo0001: it ends 8 seconds after the start, and its transcript is there 4 seconds later."""
    script = Script(
        replica_joined=0.5,
        participant_joined=1.0,
        turns=small_talk(start=1.2, seconds=5.6),
        participant_left=7.5,
        shutdown=8.0,
        transcript_delay=4.0,
    )
    box.add(script, conversation_id=DEMO_CONVERSATION, name="A chat about a garden")


def busy_day(box: TavusBox) -> None:
    """500 calls of every kind over the last 16 hours and the next 8; some go on, others are yet to come."""
    luck = random.Random(f"busy day {box.seed}")  # noqa: S311 - a play needs no secrecy
    box.account.on_create = lambda body: drawn_script(luck)
    now = box.clock.now()
    for number, age in enumerate(sorted(luck.uniform(-8 * HOUR, 16 * HOUR) for _ in range(500))):
        box.add(drawn_script(luck), created_at=now - age, name=f"Call {number}")


def bad_day(box: TavusBox) -> None:
    """As busy, and much goes wrong: late, broken and refused answers, odd lists, lost callbacks."""
    busy_day(box)
    box.trouble("latency", seconds=0.2, chance=0.1)
    box.trouble(status=429, retry_after=1, chance=0.05)
    for status in (500, 502, 503, 504):
        box.trouble(status=status, chance=0.02)
    for kind in ("cut", "reset", "html", "not_json"):
        box.trouble(kind, chance=0.01)
    box.trouble("lost_answer", route="create", chance=0.1)
    box.trouble("list_order", order="random")
    box.trouble("list_cap", limit=25)
    box.trouble("list_lag", lag=30, chance=0.5)
    box.trouble("list_churn", come=1, finish=1, vanish=1, chance=0.2)
    box.callbacks.scatter, box.callbacks.twice, box.callbacks.lost = 30.0, 0.1, 0.1


def million(box: TavusBox) -> None:
    """1,000,000 calls that ended over the last four months, each made when it is asked for."""
    scripts = [drawn_script(seed, oddity=0.1) for seed in range(box.seed, box.seed + 256)]
    yesterday = box.clock.now() - 24 * HOUR
    box.world.archive(Archive(1_000_000, scripts, until=yesterday, seed=box.seed))


SCENES: Mapping[str, Callable[[TavusBox], None]] = {
    "empty": empty,
    "demo": demo,
    "busy-day": busy_day,
    "bad-day": bad_day,
    "million": million,
}
