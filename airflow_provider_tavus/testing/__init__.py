"""
Tavus in a box: a stateful fake of the Tavus API, to test whole DAGs without the live service.

There is no sandbox: a test-mode conversation never yields a transcript, and a real one costs minutes and
money. ``docs/testing.md`` tells how to use it.
"""

from __future__ import annotations

from airflow_provider_tavus.testing import catalogue, events
from airflow_provider_tavus.testing.box import TavusBox
from airflow_provider_tavus.testing.clocks import ManualClock, RealClock
from airflow_provider_tavus.testing.script import Script, small_talk
from airflow_provider_tavus.testing.shapes import Shape
from airflow_provider_tavus.testing.turns import ABSENT, RawTurn, Turn
from airflow_provider_tavus.testing.variety import drawn_script

__all__ = [
    "ABSENT",
    "ManualClock",
    "RawTurn",
    "RealClock",
    "Script",
    "Shape",
    "TavusBox",
    "Turn",
    "catalogue",
    "drawn_script",
    "events",
    "small_talk",
]
