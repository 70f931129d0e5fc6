from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import ManualClock, Script, TavusBox, events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Call = Callable[..., requests.Response]

LIFE = ["system.replica_joined", "system.shutdown", "application.transcription_ready"]


class Receiver:
    """A webhook endpoint that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.moved_to: str | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(307 if receiver.moved_to else 200)
                if receiver.moved_to:
                    self.send_header("Location", receiver.moved_to)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=t"

    @property
    def types(self) -> list[str]:
        return [body["event_type"] for body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def test_every_event_is_called_back_when_it_happens(box: TavusBox, clock: ManualClock, receiver: Receiver) -> None:
    script = Script.finished(seconds=60, transcript_delay=5, further_events=(events.objective_completed(),))
    conversation_id = box.add(script, callback_url=receiver.url)

    clock.advance(60)
    box.wait_for_callbacks()
    assert receiver.types == [LIFE[0], "conversation.objective.completed", LIFE[1]]
    clock.advance(5)
    box.wait_for_callbacks()
    assert receiver.types[-1] == LIFE[2]
    assert {body["conversation_id"] for body in receiver.got} == {conversation_id}
    assert [delivery.status for delivery in box.callbacks_sent] == [200] * 4


def test_callbacks_have_the_documented_fields(box: TavusBox, clock: ManualClock, receiver: Receiver) -> None:
    box.add(
        Script.finished(reason_key="reason", further_events=(events.objective_completed(),)),
        callback_url=receiver.url,
        replica_id="r1",
    )
    clock.advance(3600)
    box.wait_for_callbacks()

    bodies = {body["event_type"]: body for body in receiver.got}
    assert bodies["system.shutdown"]["properties"] == {
        "replica_id": "r1",
        "shutdown_reason": "participant_left_timeout",
    }
    ready = bodies["application.transcription_ready"]
    assert ready.keys() == {
        "properties",
        "conversation_id",
        "webhook_url",
        "event_type",
        "message_type",
        "timestamp",
    }
    assert (ready["message_type"], ready["webhook_url"]) == ("application", receiver.url)
    assert ready["properties"].keys() == {"replica_id", "transcript"}
    assert "timestamp" not in bodies["conversation.objective.completed"]


def test_a_created_and_ended_conversation_is_called_back(
    call: Call, box: TavusBox, clock: ManualClock, receiver: Receiver
) -> None:
    created = call("POST", "/v2/conversations", json={"callback_url": receiver.url}).json()
    clock.advance(2)
    call("POST", f"/v2/conversations/{created['conversation_id']}/end")
    clock.advance(1)
    box.wait_for_callbacks()

    assert receiver.types == LIFE
    assert receiver.got[1]["properties"]["shutdown_reason"] == "end_conversation_endpoint_hit"


def test_callbacks_can_be_late(box: TavusBox, clock: ManualClock, receiver: Receiver) -> None:
    box.callbacks.delay = 600
    box.add(Script.finished(seconds=60), callback_url=receiver.url)

    clock.advance(600)
    box.wait_for_callbacks()
    assert receiver.types == []
    clock.advance(600)
    box.wait_for_callbacks()
    assert receiver.types == LIFE


def test_callbacks_can_come_out_of_order(box: TavusBox, clock: ManualClock, receiver: Receiver) -> None:
    box.callbacks.scatter = 3600
    for _ in range(5):
        box.add(Script.finished(seconds=60), callback_url=receiver.url)

    clock.advance(4000)
    box.wait_for_callbacks()

    by_conversation: dict[str, list[str]] = {}
    for body in receiver.got:
        by_conversation.setdefault(body["conversation_id"], []).append(body["event_type"])
    assert all(sorted(types) == sorted(LIFE) for types in by_conversation.values())
    assert any(types != LIFE for types in by_conversation.values())


def test_callbacks_can_come_twice(box: TavusBox, clock: ManualClock, receiver: Receiver) -> None:
    box.callbacks.twice = 1
    box.add(Script.finished(), callback_url=receiver.url)

    clock.advance(3600)
    box.wait_for_callbacks()

    assert sorted(receiver.types) == sorted(LIFE * 2)


def test_callbacks_can_be_lost_by_chance_or_by_type(box: TavusBox, clock: ManualClock, receiver: Receiver) -> None:
    box.callbacks.lost = 0.5
    for _ in range(10):
        box.add(Script.finished(), callback_url=receiver.url)
    clock.advance(3600)
    box.wait_for_callbacks()
    assert 0 < len(receiver.got) < 30

    box.callbacks.lost, box.callbacks.lost_events = 0, ("system.shutdown",)
    conversation_id = box.add(Script.finished(), callback_url=receiver.url)
    clock.advance(3600)
    box.wait_for_callbacks()
    types = [body["event_type"] for body in receiver.got if body["conversation_id"] == conversation_id]
    assert types == [LIFE[0], LIFE[2]]


def test_a_receiver_that_is_not_there_gets_nothing_and_harms_nobody(
    box: TavusBox, clock: ManualClock, receiver: Receiver
) -> None:
    box.add(Script.finished(), callback_url="http://127.0.0.1:9/hook")
    box.add(Script.finished(), callback_url=receiver.url)
    clock.advance(3600)
    box.wait_for_callbacks()

    assert receiver.types == LIFE
    assert sum(delivery.status is None for delivery in box.callbacks_sent) == 3


@pytest.mark.parametrize("url", ["http://[not-an-address/hook", "//localhost/hook"])
async def test_a_callback_url_that_is_none_keeps_nobody_elses_callbacks(url: str, receiver: Receiver) -> None:
    clock = ManualClock()
    async with TavusBox(clock=clock) as box:
        box.add(Script.finished(), callback_url=url)
        box.add(Script.finished(), callback_url=receiver.url)
        clock.advance(3600)
        await asyncio.wait_for(box.callbacks_settled(), timeout=5)

    assert receiver.types == LIFE


def test_no_callback_leaves_the_machine_unless_it_may(box: TavusBox, clock: ManualClock) -> None:
    box.add(Script.finished(), callback_url="http://192.0.2.1/hook")
    clock.advance(3600)
    box.wait_for_callbacks()

    assert [delivery.status for delivery in box.callbacks_sent] == [None] * 3


def test_no_callback_follows_a_receiver_that_sends_it_elsewhere(
    box: TavusBox, clock: ManualClock, receiver: Receiver
) -> None:
    receiver.moved_to = "/elsewhere"
    box.add(Script.finished(), callback_url=receiver.url)
    clock.advance(3600)
    box.wait_for_callbacks()

    assert receiver.types == LIFE
    assert [delivery.status for delivery in box.callbacks_sent] == [307] * 3


async def test_callbacks_settle_in_the_running_loop_too(receiver: Receiver) -> None:
    clock = ManualClock()
    async with TavusBox(clock=clock) as box:
        box.add(Script.finished(), callback_url=receiver.url)
        clock.advance(3600)
        await box.callbacks_settled()

    assert receiver.types == LIFE


def test_callbacks_can_be_steered_and_seen_over_http(
    box: TavusBox, call: Call, clock: ManualClock, receiver: Receiver
) -> None:
    assert call("PATCH", "/_box/callbacks", json={"lost_events": [LIFE[1]]}).status_code == 204
    box.add(Script.finished(), callback_url=receiver.url)
    clock.advance(3600)
    box.wait_for_callbacks()

    sent = call("GET", "/_box/callbacks").json()["callbacks"]
    assert [delivery["event_type"] for delivery in sent] == [LIFE[0], LIFE[2]]
    assert call("PATCH", "/_box/callbacks", json={"no_such_habit": 1}).status_code == 400
