"""
A process that is killed at every instruction that another process could notice, and what its retry finds.

The task is carried on as Airflow does: a dead worker is a try that failed, a dead triggerer is replaced by another one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from killed_create import BoxTime, Kept, Process

from airflow_provider_tavus.testing import ListView, Script, TavusBox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")

MOST_POINTS = 200
WAIT: dict[str, Any] = {"wait_for_completion": True, "poke_interval": 0.01, "timeout": 30.0}


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "has_store"),
    [
        pytest.param({}, True, id="create"),
        pytest.param({}, False, id="create, no state store"),
        pytest.param({**WAIT, "deferrable": False}, True, id="wait in the worker"),
        pytest.param({**WAIT, "deferrable": False}, False, id="wait in the worker, no state store"),
        pytest.param({**WAIT, "deferrable": True}, True, id="wait in the triggerer"),
        # What has no store differs in the worker only.
        pytest.param(
            {**WAIT, "deferrable": True}, False, id="wait in the triggerer, no state store", marks=pytest.mark.alone
        ),
    ],
)
def test_wherever_it_is_killed_there_is_one_conversation(
    arguments: dict[str, Any], has_store: bool, manual_box: TavusBox, tmp_path: Path
) -> None:
    box = manual_box
    box.account.on_create = lambda body: Script.finished(seconds=100)
    box.account.list_view = ListView(lag=3)
    box.each_request_takes(60, "get")

    for point in range(1, MOST_POINTS):
        kept = Kept(tmp_path / f"{point}.json")
        kept.write(run_id=f"run {point}", try_number=0, phase="none", store={}, xcoms={})
        process = Process(kept, BoxTime(box.base_url), {"pal_id": "p1", **arguments}, has_store)
        before = {conversation.conversation_id for conversation in box.world}

        unharmed = process.run(point)
        # Its retry dies at the same point, too, if it gets there; a trigger begins anew and would die as it did before.
        if not unharmed and (kept["phase"] == "triggerer" or not process.run(point)):
            assert process.run(None)

        created = {conversation.conversation_id for conversation in box.world} - before
        assert created == {kept["result"]["conversation_id"]}, f"killed at point {point}"
        if unharmed:
            break
    else:
        raise AssertionError("no process came to the end")
    assert point > 4
