"""The wait that starts in the triggerer: what is peculiar to it; that it ends as others do is in the parity tests."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import Script
from airflow_provider_tavus.triggers.conversation_sensor import ConversationSensorTrigger

if TYPE_CHECKING:
    from airflow_provider_tavus.testing import TavusBox

pytestmark = pytest.mark.usefixtures("connect")


def trigger(**changes: Any) -> ConversationSensorTrigger:
    arguments: dict[str, Any] = {
        "conversation_id": "c1",
        "wait_for": ["application.transcription_ready"],
        "grace_period": 600.0,
        "poll_interval": 0.1,
        "wait_at_most": 10.0,
        "deferred_at_most": 70.1,
    }
    return ConversationSensorTrigger(**arguments | changes)


async def event_of(trigger: ConversationSensorTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("The trigger ended without an event.")


def test_its_arguments_are_plain_json_and_make_the_same_trigger() -> None:
    original = trigger(exponential_backoff=True, max_wait=60.0, tavus_conn_id="tavus_other")

    class_path, arguments = original.serialize()
    module, _, name = class_path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert rebuilt.serialize() == original.serialize()


async def test_its_time_counts_from_the_start_of_the_task_and_not_of_the_triggerer(box: TavusBox) -> None:
    box.add(Script.active(), conversation_id="c1")
    moved = trigger(wait_at_most=3600.0, deferred_at_most=3660.0)
    # The task began an hour ago, in a triggerer that is no more.
    moved.timeout_after = datetime.fromtimestamp(time.time() + 60, UTC)

    assert (await event_of(moved))["status"] == "timeout"
    assert box.count("get") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"conversation_id": "None"}, "the XCom or variable that its template reads is not there"),
        ({"conversation_id": "['c1', 'c2']"}, "a list that a template rendered as text"),
        ({"wait_for": "transcription_ready"}, "is no event type"),
    ],
)
async def test_what_a_template_rendered_is_checked_before_anything_is_sent(
    arguments: dict[str, Any], says: str, box: TavusBox
) -> None:
    event = await event_of(trigger(**arguments))

    assert event["status"] == "error"
    assert says in event["message"]
    assert box.count() == 0
