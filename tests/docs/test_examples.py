"""What tasks of the example DAGs do with what is out of the ordinary. The DAGs run in `tests/system`."""

from __future__ import annotations

import runpy
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from snippets import PROJECT

from airflow_provider_tavus.testing import Script, TavusBox

if not AIRFLOW_V_3_0_PLUS:
    pytest.skip("there are no asset watchers below Airflow 3.0", allow_module_level=True)

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(PROJECT / "example_dags" / f"{name}.py"))


def event(**extra: Any) -> SimpleNamespace:
    return SimpleNamespace(extra=extra, timestamp=NOW - timedelta(minutes=5))


class EventsOfAnAsset:
    """As Airflow hands them out: by the asset itself, which on 3.0 is no key of a dictionary."""

    def __init__(self, asset: Any) -> None:
        self._asset = asset

    def __getitem__(self, asset: Any) -> list[SimpleNamespace]:
        assert asset == self._asset
        return EVENTS


EVENTS = [
    event(from_trigger=True, payload={"conversation_id": "c1"}),
    event(from_rest_api=True),
    event(from_trigger=True, payload={"conversation_id": "c2"}),
]
"""The one in the middle was made by hand, in Airflow's UI."""


def test_an_event_that_was_made_by_hand_keeps_no_conversation_from_its_run() -> None:
    names = example("example_tavus_events")
    runs = names["events"].get_task("runs").python_callable

    started = runs(triggering_asset_events=EventsOfAnAsset(names["CONVERSATIONS"]))

    assert [run["trigger_run_id"] for run in started] == ["tavus__c1", "tavus__c2"]


def test_an_event_that_was_made_by_hand_keeps_no_conversation_from_its_batch() -> None:
    names = example("example_tavus_events_batch")
    new_conversations = names["batch"].get_task("new_conversations").python_callable

    batch = new_conversations(inlet_events=EventsOfAnAsset(names["CONVERSATIONS"]), data_interval_end=NOW)

    assert batch == ["c1", "c2"]


def test_a_conversation_that_was_deleted_since_its_event_keeps_no_batch_from_its_end(tavus_box: TavusBox) -> None:
    ids = [tavus_box.add(Script.finished(), created_at=time.time() - 3600) for _ in range(3)]
    count_turns = example("example_tavus_events_batch")["batch"].get_task("count_turns").python_callable
    turns = count_turns(ids[:1])

    tavus_box.remove(ids[1])

    assert turns > 0
    assert count_turns(ids) == 2 * turns
