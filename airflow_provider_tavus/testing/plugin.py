"""
The pytest plugin: the fixture ``tavus_box`` and the marker of the same name.

It does nothing to a run that does not use them.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.testing.box import TavusBox

MARKER = (
    "tavus_box(scene='empty', clock='manual', speed=1.0, conn_id='tavus_default', **options): "
    "how the fixture tavus_box starts its box; options as for airflow_provider_tavus.testing.TavusBox"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def tavus_box(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TavusBox]:
    """
    Serve a fake Tavus that Airflow's connection ``tavus_default`` leads to; its clock is moved by hand.

    ``@pytest.mark.tavus_box(...)`` changes that: ``clock="real"``, perhaps with a ``speed``, a ``scene``, another
    ``conn_id``, and whatever :class:`~airflow_provider_tavus.testing.box.TavusBox` takes.
    """
    marker = request.node.get_closest_marker("tavus_box")
    with _box(*(marker.args if marker else ()), **(marker.kwargs if marker else {})) as (box, conn_id):
        # Airflow reads a connection from the environment first, in tasks as well as in triggers.
        connection = {"conn_type": "tavus", "host": box.base_url, "password": box.api_key}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        yield box


@contextmanager
def _box(
    *,
    scene: str = "empty",
    clock: Any = "manual",
    speed: float = 1.0,
    conn_id: str = "tavus_default",
    **options: Any,
) -> Iterator[tuple[TavusBox, str]]:
    from airflow_provider_tavus.testing.box import TavusBox
    from airflow_provider_tavus.testing.clocks import ManualClock, RealClock
    from airflow_provider_tavus.testing.scenes import SCENES

    if clock == "manual":
        if speed != 1.0:
            raise ValueError("a speed needs clock='real': time that is moved by hand has none")
        clock = ManualClock()
    elif clock == "real":
        clock = RealClock(speed=speed)
    with TavusBox.in_thread(clock=clock, **options) as box:
        SCENES[scene](box)
        yield box, conn_id
