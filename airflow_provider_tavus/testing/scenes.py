"""Named worlds that the command can start with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.script import Script, small_talk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_tavus.testing.box import TavusBox

DEMO_CONVERSATION = "cdemo0001"


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


SCENES: Mapping[str, Callable[[TavusBox], None]] = {"empty": empty, "demo": demo}
