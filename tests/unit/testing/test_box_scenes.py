from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_tavus.testing import ManualClock, Script, TavusBox
from airflow_provider_tavus.testing.scenes import SCENES

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., requests.Response]

MILLION = 1_000_000


@pytest.mark.parametrize("scene", SCENES)
def test_the_same_seed_gives_the_same_world(scene: str) -> None:
    def world(seed: int) -> Any:
        with TavusBox.in_thread(clock=ManualClock(1_790_000_000), seed=seed) as box:
            SCENES[scene](box)
            box.stop_troubles()
            headers = {"x-api-key": box.api_key}
            page = requests.get(f"{box.base_url}/v2/conversations?limit=50", headers=headers, timeout=5).json()
            return page, [
                requests.get(
                    f"{box.base_url}/v2/conversations/{row['conversation_id']}?verbose=true",
                    headers=headers,
                    timeout=5,
                ).json()
                for row in page["data"][:10]
            ]

    assert world(1) == world(1)
    if scene not in {"empty", "demo"}:
        assert world(1) != world(2)


def test_a_busy_day_goes_on_by_itself(box: TavusBox, call: Call, clock: ManualClock) -> None:
    SCENES["busy-day"](box)

    def totals() -> tuple[int, int]:
        counted = [
            call("GET", f"/v2/conversations?status={status}").json()["total_count"] for status in ("active", "ended")
        ]
        return counted[0], counted[1]

    active, ended = totals()
    assert active > 0
    assert ended > 250
    clock.advance(4 * 3600)
    later_active, later_ended = totals()
    assert later_ended > ended
    assert later_active + later_ended > active + ended


def test_a_call_yet_to_come_is_not_there_yet(box: TavusBox, call: Call, clock: ManualClock) -> None:
    conversation_id = box.add(Script.active(), created_at=clock.now() + 60)

    assert call("GET", f"/v2/conversations/{conversation_id}").status_code == 400
    assert call("GET", "/v2/conversations").json()["data"] == []
    clock.advance(60)
    assert call("GET", f"/v2/conversations/{conversation_id}").json()["status"] == "active"


def test_a_bad_day_is_trouble_but_lets_some_requests_through(box: TavusBox, call: Call, clock: ManualClock) -> None:
    SCENES["bad-day"](box)
    seen = set()
    for _ in range(60):
        try:
            seen.add(call("GET", "/v2/conversations?limit=1", timeout=2).status_code)
        except requests.RequestException:
            seen.add(0)

    assert 200 in seen
    assert len(seen) > 2


def test_a_million_conversations_list_and_read_like_a_few(box: TavusBox, call: Call) -> None:
    SCENES["million"](box)

    page = call("GET", "/v2/conversations?limit=100&page=10000").json()
    assert page["total_count"] == MILLION
    assert len(page["data"]) == 100
    oldest = page["data"][-1]
    assert call("GET", "/v2/conversations?limit=100&page=10001").json()["data"] == []
    read = call("GET", f"/v2/conversations/{oldest['conversation_id']}?verbose=true").json()
    assert (read["conversation_id"], read["status"]) == (oldest["conversation_id"], "ended")


def test_a_conversation_of_the_archive_can_be_deleted_and_replaced(box: TavusBox, call: Call) -> None:
    SCENES["million"](box)
    first, second, third = (row["conversation_id"] for row in call("GET", "/v2/conversations?limit=3").json()["data"])

    assert call("DELETE", f"/v2/conversations/{second}").status_code == 204
    box.put_raw(third, {"conversation_id": third, "status": "odd"})

    page = call("GET", "/v2/conversations?limit=3").json()
    assert page["total_count"] == MILLION - 1
    ids = [row["conversation_id"] for row in page["data"]]
    assert ids[:2] == [third, first]
    assert second not in ids
    assert call("GET", f"/v2/conversations/{second}").status_code == 400
    assert call("GET", f"/v2/conversations/{third}").json()["status"] == "odd"


@pytest.mark.parametrize("order", ["random", "shuffled", "oldest"])
def test_a_million_conversations_can_be_shown_in_any_order(box: TavusBox, call: Call, order: str) -> None:
    SCENES["million"](box)
    newest = call("GET", "/v2/conversations?limit=100").json()["data"]
    box.trouble("list_order", order=order)

    page = call("GET", "/v2/conversations?limit=100").json()["data"]

    assert len({row["conversation_id"] for row in page}) == 100
    assert page != newest


def test_a_million_conversations_start_in_seconds_and_in_little_memory() -> None:
    before = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_tavus.testing", "--scene", "million"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert "listens on" in process.stdout.readline()
            assert time.monotonic() - before < 10
        finally:
            process.terminate()
    peak_kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kibibytes < 1024 * 1024
