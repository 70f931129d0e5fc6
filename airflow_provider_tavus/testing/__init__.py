"""
Tavus in a box: a stateful fake of the Tavus API, to test whole DAGs without the live service.

There is no sandbox: a test-mode conversation never yields a transcript, and a real one costs minutes and money.
`docs/testing.md` tells how to use it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_tavus.testing import catalogue, events
    from airflow_provider_tavus.testing.box import TavusBox
    from airflow_provider_tavus.testing.clocks import ManualClock, RealClock
    from airflow_provider_tavus.testing.listing import ListView
    from airflow_provider_tavus.testing.script import Script, small_talk
    from airflow_provider_tavus.testing.shapes import Shape
    from airflow_provider_tavus.testing.turns import ABSENT, RawTurn, Turn
    from airflow_provider_tavus.testing.variety import drawn_script

__all__ = [
    "ABSENT",
    "ListView",
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

_HOMES = {
    "ABSENT": "turns",
    "ListView": "listing",
    "ManualClock": "clocks",
    "RawTurn": "turns",
    "RealClock": "clocks",
    "Script": "script",
    "Shape": "shapes",
    "TavusBox": "box",
    "Turn": "turns",
    "drawn_script": "variety",
    "small_talk": "script",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: pytest loads our plugin in runs that never open a box."""
    if name in {"catalogue", "events"}:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
