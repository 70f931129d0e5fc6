"""The ways in: a thread, the running loop, the command, and HTTP under /_box/."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import aiohttp
import pytest
import requests

from airflow_provider_tavus.testing import ManualClock, RealClock, Script, TavusBox
from airflow_provider_tavus.testing.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[..., requests.Response]


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


COMMAND = [sys.executable, "-m", "airflow_provider_tavus.testing"]


async def test_a_box_serves_in_the_running_loop() -> None:
    async with TavusBox() as box, aiohttp.ClientSession(headers={"x-api-key": box.api_key}) as session:
        conversation_id = box.add(Script.active())
        async with session.get(f"{box.base_url}/v2/conversations/{conversation_id}") as answer:
            assert (await answer.json())["status"] == "active"


async def test_moving_the_clock_wakes_what_waits_for_it() -> None:
    clock = ManualClock()
    waiting = asyncio.create_task(clock.wait_until(clock.now() + 3600))
    await asyncio.sleep(0)

    await asyncio.to_thread(clock.advance, 3599)
    assert not waiting.done()
    await asyncio.to_thread(clock.advance, 1)
    await asyncio.wait_for(waiting, timeout=1)


def test_a_box_that_has_stopped_refuses_connections() -> None:
    with TavusBox.in_thread() as box:
        pass

    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(box.base_url, timeout=1)


def test_faster_time_runs_ahead_of_the_machine() -> None:
    clock = RealClock(speed=3600, start=0)

    assert asyncio.run(asyncio.wait_for(clock.wait_until(360), timeout=5)) is None
    assert 360 <= clock.now() < 3600


def test_ids_come_out_the_same_for_the_same_seed() -> None:
    def ids(seed: int) -> list[str]:
        box = TavusBox(seed=seed)
        return [box.add() for _ in range(3)]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


@pytest.fixture
def command() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo 100 times as fast, and hand over the process and its address."""
    with subprocess.Popen(
        [*COMMAND, "--scene", "demo", "--speed", "100", "--api-key", "k"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": ""},
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address is not None
            yield process, address.group()
        finally:
            process.kill()


def test_the_demo_is_a_call_that_ends_and_gets_its_transcript(
    command: tuple[subprocess.Popen[str], str],
) -> None:
    _, address = command
    events: list[str] = []
    for _ in range(200):
        body = requests.get(
            f"{address}/v2/conversations/cdemo0001?verbose=true", headers={"x-api-key": "k"}, timeout=5
        ).json()
        events = [event["event_type"] for event in body["events"]]
        if len(events) == 3:
            break
    assert events == ["system.replica_joined", "system.shutdown", "application.transcription_ready"]
    assert body["status"] == "ended"
    assert len(body["events"][-1]["properties"]["transcript"]) >= 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_stops_in_order_when_it_is_told_to(
    command: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    process, _ = command
    process.send_signal(number)

    assert process.wait(timeout=10) == 0


def test_the_command_tells_what_it_can_do() -> None:
    told = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout

    assert "--speed" in told
    assert "cdemo0001" in told


def test_the_command_refuses_a_speed_of_time_that_stands_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("airflow_provider_tavus.testing.__main__.serve", lambda arguments: asyncio.sleep(0))
    with pytest.raises(SystemExit):
        main(["--manual-clock", "--speed", "10"])
    assert "--manual-clock" in capsys.readouterr().err


def test_another_process_can_steer_and_count_over_http(box: TavusBox, call: Call, clock: ManualClock) -> None:
    added = call(
        "POST",
        "/_box/conversations",
        json={
            "conversation_id": "c1",
            "script": {
                "name": "finished",
                "seconds": 3600,
                "reason_key": "reason",
                "turns": [{"role": "user", "content": "Hi"}, {"raw": 17}],
                "further_events": [{"event_type": "x.y", "after_shutdown": 5}],
            },
        },
    )
    assert (added.status_code, added.json()) == (201, {"conversation_id": "c1"})
    trouble_id = call("POST", "/_box/troubles", json={"status": 503, "route": "get", "times": 1}).json()["trouble_id"]
    assert call("GET", "/v2/conversations/c1").status_code == 503
    assert call("GET", f"/_box/troubles/{trouble_id}").json() == {"happened": 1}
    assert call("DELETE", f"/_box/troubles/{trouble_id}").status_code == 204

    assert call("POST", "/_box/clock", json={"advance": 3605}).json() == {"now": clock.now()}
    body = call("GET", "/v2/conversations/c1?verbose=true").json()
    assert [event["event_type"] for event in body["events"]] == [
        "system.replica_joined",
        "system.shutdown",
        "application.transcription_ready",
        "x.y",
    ]
    counted = call("GET", "/_box/requests?route=get").json()
    assert counted["count"] == 2
    assert counted["requests"][0]["status"] == 503

    short = {"name": "finished", "seconds": 3}
    assert call("PATCH", "/_box/account", json={"on_create": short}).status_code == 204
    created = call("POST", "/v2/conversations", json={}).json()["conversation_id"]
    assert box.conversation(created).script == Script.finished(seconds=3)
    assert call("PATCH", "/_box/account", json={"credits": 0}).status_code == 204
    assert call("POST", "/v2/conversations", json={}).status_code == 402
    assert call("PUT", "/_box/conversations/c1/raw", json={"status": "odd"}).status_code == 204
    assert call("GET", "/v2/conversations/c1").json() == {"status": "odd"}
    assert call("DELETE", "/_box/conversations/c1").status_code == 204
    assert call("DELETE", "/_box/requests").status_code == 204
    assert box.count() == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/_box/conversations", {"script": "no such script"}),
        ("POST", "/_box/conversations", {"script": {"name": "finished", "no_such_field": 1}}),
        ("POST", "/_box/conversations", {"no_such_field": 1}),
        ("POST", "/_box/conversations", "finished"),
        ("POST", "/_box/troubles", {"kind": "earthquake"}),
        ("POST", "/_box/troubles", ["latency"]),
        ("POST", "/_box/clock", {}),
        ("PATCH", "/_box/account", {"no_such_field": 1}),
        ("PATCH", "/_box/account", {"on_create": "no such script"}),
        ("PATCH", "/_box/account", {"second_end": 404}),
        ("PATCH", "/_box/account", {"concurrency_limit": "5"}),
        ("PATCH", "/_box/callbacks", {"lost": "a"}),
        ("PATCH", "/_box/callbacks", {"delay": 5, "lost_events": "application.transcription_ready"}),
        ("DELETE", "/_box/conversations/cnobody", None),
        ("GET", "/_box/requests?no_such_filter=1", None),
    ],
)
def test_a_control_that_makes_no_sense_is_refused_with_a_reason(
    call: Call, method: str, path: str, body: object
) -> None:
    answer = call(method, path, json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_of_megabytes_is_taken_like_any_other(box: TavusBox, call: Call) -> None:
    long = {"conversation_id": "c1", "status": "ended", "context": "x" * 2**21}
    assert call("PUT", "/_box/conversations/c1/raw", json=long).status_code == 204
    assert call("GET", "/v2/conversations/c1").json() == long

    assert call("POST", "/v2/conversations", json={"conversational_context": "x" * 2**21}).status_code == 200
    assert len(box.requests_of("create")[0].body["conversational_context"]) == 2**21


def test_a_web_page_cannot_steer_the_box_through_a_browser(call: Call) -> None:
    answer = call("POST", "/_box/clock", data="advance=1", headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415


def test_a_box_of_another_process_can_be_made_to_refuse_connections_for_a_while() -> None:
    with TavusBox.in_thread() as box:
        endless = requests.post(f"{box.base_url}/_box/troubles", json={"kind": "refuse"}, timeout=5)
        assert endless.status_code == 400

        asked = requests.post(f"{box.base_url}/_box/troubles", json={"kind": "refuse", "lasting": 1}, timeout=5)
        assert asked.status_code == 201
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(f"{box.base_url}/v2/pals", timeout=1)
        assert _first_answer(f"{box.base_url}/v2/pals", within=10) == 401


def test_only_its_own_machine_steers_a_box_unless_told_otherwise() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; it only finds the address we would send from
        except OSError:
            pytest.skip("this machine has no address beside loopback")
        address = probe.getsockname()[0]

    for open_admin, status in ((False, 403), (True, 200)):
        with TavusBox.in_thread(host="0.0.0.0", open_admin=open_admin) as box:
            port = box.base_url.rsplit(":", 1)[1]
            assert requests.get(f"http://{address}:{port}/_box/", timeout=5).status_code == status
            assert requests.get(f"http://127.0.0.1:{port}/_box/", timeout=5).status_code == 200


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    with TavusBox.in_thread() as box:
        port = int(box.base_url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"), TavusBox.in_thread(port=port):
            pass


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
def test_a_box_can_listen_on_the_newer_loopback_address() -> None:
    with TavusBox.in_thread(host="::1") as box:
        assert requests.get(f"{box.base_url}/_box/", timeout=5).status_code == 200


def test_time_that_passes_by_itself_cannot_be_moved_by_hand() -> None:
    box = TavusBox(clock=RealClock())

    with pytest.raises(TypeError, match="by hand"):
        box.advance(1)
    with pytest.raises(TypeError, match="by hand"):
        box.each_request_takes(1)


def test_many_threads_can_use_and_steer_a_box_at_once(box: TavusBox) -> None:
    def use(number: int) -> int:
        for _ in range(10):
            conversation_id = box.add(callback_url="http://127.0.0.1:9/")
            box.advance(1)
            box.trouble("list_churn", come=1, vanish=1)
            if number == 0:
                box.trouble("refuse")
            box.stop_troubles()
            try:
                requests.get(f"{box.base_url}/v2/conversations", headers={"x-api-key": box.api_key}, timeout=10)
                box.end(conversation_id)
            except (requests.ConnectionError, KeyError):
                pass  # another thread had connections refused, or its trouble deleted the conversation
        return number

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(use, range(4), timeout=60)) == [0, 1, 2, 3]
    assert requests.get(f"{box.base_url}/_box/", timeout=5).status_code == 200


def _first_answer(url: str, *, within: float) -> int | None:
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        try:
            return requests.get(url, timeout=5).status_code
        except requests.ConnectionError:
            time.sleep(0.05)
    return None
