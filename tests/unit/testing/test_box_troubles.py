from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.testing import ManualClock

    Call = Callable[..., requests.Response]


@pytest.fixture
def path(box: TavusBox) -> str:
    return f"/v2/conversations/{box.add(Script.active(), conversation_id='c1')}"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504])
def test_any_status_can_be_answered_with_what_it_usually_comes_with(
    box: TavusBox, call: Call, path: str, status: int
) -> None:
    trouble = box.trouble(status=status)
    answer = call("GET", path)
    assert answer.status_code == status
    assert answer.content

    trouble.stop()
    assert call("GET", path).status_code == 200


def test_the_edge_answers_with_a_page(box: TavusBox, call: Call, path: str) -> None:
    box.trouble(status=403)

    answer = call("GET", path)

    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_status_body_and_headers_of_choice_are_answered(box: TavusBox, call: Call, path: str) -> None:
    box.trouble(status=418, body={"message": "teapot"}, headers={"X-Request-Id": "r1"})

    answer = call("GET", path)

    assert (answer.status_code, answer.json()) == (418, {"message": "teapot"})
    assert answer.headers["X-Request-Id"] == "r1"


@pytest.mark.parametrize("retry_after", [None, 7, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_too_many_requests_comes_with_and_without_retry_after(
    box: TavusBox, call: Call, path: str, retry_after: float | str | None
) -> None:
    box.trouble(status=429, retry_after=retry_after)

    answer = call("GET", path)

    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == (None if retry_after is None else str(retry_after))


def test_html_can_come_with_a_good_status(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("html")

    answer = call("GET", path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_text_can_claim_to_be_json(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("not_json")

    answer = call("GET", path)

    assert answer.headers["Content-Type"] == "application/json"
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_body_can_break_off_in_the_middle(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("cut")

    answer = call("GET", path, stream=True)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        answer.content  # noqa: B018


def test_a_connection_can_be_reset(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("reset")

    with pytest.raises(requests.ConnectionError, match="reset"):
        call("GET", path)


def test_a_request_can_stay_without_an_answer(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("hang")

    with pytest.raises(requests.ReadTimeout):
        call("GET", path, timeout=0.2)
    assert [request.status for request in box.requests] == [None]


def test_a_box_with_a_hanging_request_stops_at_once(clock: ManualClock) -> None:
    with TavusBox.in_thread(clock=clock) as box:
        box.trouble("hang")
        with pytest.raises(requests.ReadTimeout):
            requests.get(box.base_url + "/v2/pals", timeout=0.1)
        before = time.monotonic()
    assert time.monotonic() - before < 2


def test_an_answer_can_come_late(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("latency", seconds=0.2)

    before = time.monotonic()
    assert call("GET", path).status_code == 200
    assert time.monotonic() - before >= 0.2


def test_an_answer_can_drip(box: TavusBox, call: Call, path: str) -> None:
    whole = call("GET", path).content
    box.trouble("drip", seconds=0.3)

    before = time.monotonic()
    answer = call("GET", path, stream=True)
    headers_after = time.monotonic() - before
    assert answer.content == whole
    assert headers_after < 0.2 < time.monotonic() - before


@pytest.mark.parametrize("hangs", [False, True])
def test_an_answer_can_be_lost_after_the_work_was_done(box: TavusBox, call: Call, hangs: bool) -> None:
    box.trouble("lost_answer", route="create", hangs=hangs, times=1)

    with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
        call("POST", "/v2/conversations", json={"conversation_name": "ghost"}, timeout=0.3)

    rows = call("GET", "/v2/conversations").json()["data"]
    assert [row["conversation_name"] for row in rows] == ["ghost"]


def test_trouble_instead_of_the_work_keeps_the_work_from_being_done(box: TavusBox, call: Call) -> None:
    box.trouble(status=503, route="create")

    assert call("POST", "/v2/conversations", json={}).status_code == 503
    assert len(box.world) == 0


def test_trouble_meets_the_route_and_the_conversation_it_was_asked_for(box: TavusBox, call: Call, path: str) -> None:
    other = f"/v2/conversations/{box.add(Script.active())}"
    box.trouble(status=500, route="get", conversation_id="c1")

    assert call("GET", path).status_code == 500
    assert call("GET", other).status_code == 200
    assert call("POST", f"{path}/end").status_code == 200


def test_trouble_meets_the_third_list_call_only(box: TavusBox, call: Call, path: str) -> None:
    trouble = box.trouble(status=500, route="list", after=2, times=1)

    answers = [call("GET", "/v2/conversations").status_code for _ in range(5)]

    assert answers == [200, 200, 500, 200, 200]
    assert trouble.happened == 1


def test_trouble_by_chance_is_the_same_for_the_same_seed(clock: ManualClock) -> None:
    def answers(seed: int) -> list[int]:
        with TavusBox.in_thread(clock=clock, seed=seed) as box:
            box.trouble(status=500, chance=0.5)
            headers = {"x-api-key": box.api_key}
            return [requests.get(box.base_url + "/v2/pals", headers=headers).status_code for _ in range(20)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
    assert set(answers(1)) == {200, 500}


def test_a_key_can_be_refused_for_a_while(box: TavusBox, call: Call, path: str, clock: ManualClock) -> None:
    box.trouble(status=401, lasting=60)

    assert call("GET", path).status_code == 401
    clock.advance(59)
    assert call("GET", path).status_code == 401
    clock.advance(1)
    assert call("GET", path).status_code == 200


def test_latency_adds_to_other_trouble(box: TavusBox, call: Call, path: str) -> None:
    box.trouble("latency", seconds=0.1)
    box.trouble(status=500)

    before = time.monotonic()
    assert call("GET", path).status_code == 500
    assert time.monotonic() - before >= 0.1


def test_a_kind_of_trouble_that_does_not_exist_is_refused(box: TavusBox) -> None:
    with pytest.raises(ValueError, match="no trouble of kind 'earthquake'"):
        box.trouble("earthquake")  # type: ignore[arg-type]


def test_trouble_that_could_never_happen_is_refused(box: TavusBox, call: Call) -> None:
    with pytest.raises(ValueError, match="no call is named 'read'; there is create, list, get"):
        box.trouble(status=503, route="read")
    with pytest.raises(ValueError, match="no order of the list is named 'newst'; there is newest"):
        box.trouble("list_order", order="newst")
    with pytest.raises(ValueError, match="a request to create names no conversation"):
        box.trouble("lost_answer", route="create", conversation_id="c1")
    with pytest.raises(ValueError, match="a request to list names no conversation"):
        box.trouble("list_cap", conversation_id="c1")
    with pytest.raises(ValueError, match="latency of no seconds is none"):
        box.trouble("latency", lasting=60)
    with pytest.raises(ValueError, match="list_lag of no seconds is none"):
        box.trouble("list_lag")
    with pytest.raises(ValueError, match="a chance is from 0 to 1, not 50"):
        box.trouble(status=503, chance=50)
    assert call("POST", "/_box/troubles", json={"status": 503, "route": "read"}).status_code == 400


def test_connections_can_be_refused_for_a_while(box: TavusBox, call: Call, path: str, clock: ManualClock) -> None:
    assert call("GET", path).status_code == 200
    box.trouble("refuse", lasting=60)

    with pytest.raises(requests.ConnectionError, match="refused"):
        call("GET", path)
    clock.advance(59)
    with pytest.raises(requests.ConnectionError, match="refused"):
        call("GET", path)
    clock.advance(1)
    assert call("GET", path).status_code == 200


def test_connections_can_be_refused_until_the_trouble_is_stopped(box: TavusBox, call: Call, path: str) -> None:
    trouble = box.trouble("refuse")
    with pytest.raises(requests.ConnectionError, match="refused"):
        call("GET", path)

    trouble.stop()
    assert call("GET", path).status_code == 200


def test_connections_are_refused_as_long_as_one_of_two_troubles_says_so(box: TavusBox, call: Call, path: str) -> None:
    first, second = box.trouble("refuse"), box.trouble("refuse")

    first.stop()
    with pytest.raises(requests.ConnectionError, match="refused"):
        call("GET", path)
    second.stop()
    assert call("GET", path).status_code == 200


def test_a_refused_connection_cannot_be_asked_for_by_route(box: TavusBox) -> None:
    with pytest.raises(ValueError, match="no route yet"):
        box.trouble("refuse", route="get")


def test_trouble_can_begin_later(box: TavusBox, call: Call, path: str, clock: ManualClock) -> None:
    box.trouble(status=500, starting_in=10, lasting=10)

    seen = []
    for _ in range(3):
        seen.append(call("GET", path).status_code)
        clock.advance(10)
    assert seen == [200, 500, 200]


def test_each_request_can_make_the_time_pass(box: TavusBox, call: Call, clock: ManualClock) -> None:
    conversation_id = box.add(Script.finished(seconds=3600))
    box.each_request_takes(600, route="get")

    statuses = [call("GET", f"/v2/conversations/{conversation_id}").json()["status"] for _ in range(7)]

    assert statuses == ["active"] * 6 + ["ended"]
    assert call("GET", "/v2/conversations").status_code == 200
    assert clock.now() == box.conversation(conversation_id).created_at + 4200


def test_time_that_could_never_pass_is_refused(box: TavusBox) -> None:
    with pytest.raises(ValueError, match="no call is named 'read'"):
        box.each_request_takes(600, route="read")
    with pytest.raises(ValueError, match="time in the box only moves forward"):
        box.each_request_takes(-1)
