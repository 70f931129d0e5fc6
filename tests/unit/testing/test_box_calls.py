from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
import requests

from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.testing import ManualClock

    Call = Callable[..., requests.Response]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}])
@pytest.mark.parametrize("path", ["/v2/conversations", "/v2/conversations/c1", "/v2/pals", "/v2/nothing"])
def test_a_wrong_or_missing_key_is_refused_as_documented(box: TavusBox, headers: dict[str, str], path: str) -> None:
    answer = requests.get(box.base_url + path, headers=headers, timeout=5)

    assert (answer.status_code, answer.json()) == (401, {"message": "Invalid access token"})


def test_a_rotated_key_takes_the_place_of_the_old_one(box: TavusBox, call: Call) -> None:
    box.api_key = "another"

    assert call("GET", "/v2/conversations").status_code == 401
    assert call("GET", "/v2/conversations", headers={"x-api-key": "another"}).status_code == 200


@pytest.mark.parametrize(("method", "ending"), [("GET", ""), ("POST", "/end"), ("DELETE", "")])
def test_an_unknown_id_is_a_bad_request_and_not_a_404(call: Call, method: str, ending: str) -> None:
    answer = call(method, f"/v2/conversations/cnobody{ending}")

    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid conversation_id"})


def test_a_created_conversation_can_be_read_listed_ended_and_deleted(call: Call) -> None:
    created = call("POST", "/v2/conversations", json={"conversation_name": "Tea", "replica_id": "r1"})
    conversation_id = created.json()["conversation_id"]
    assert created.status_code == 200
    assert created.json().keys() == {
        "conversation_id",
        "conversation_name",
        "conversation_url",
        "status",
        "callback_url",
        "created_at",
    }
    assert created.json()["status"] == "active"

    read = call("GET", f"/v2/conversations/{conversation_id}").json()
    assert (read["conversation_name"], read["replica_id"], read["status"]) == ("Tea", "r1", "active")
    listed = call("GET", "/v2/conversations").json()
    assert [row["conversation_id"] for row in listed["data"]] == [conversation_id]
    assert listed["total_count"] == 1

    ended = call("POST", f"/v2/conversations/{conversation_id}/end")
    assert (ended.status_code, ended.content) == (200, b"")
    assert call("GET", f"/v2/conversations/{conversation_id}").json()["status"] == "ended"

    deleted = call("DELETE", f"/v2/conversations/{conversation_id}?hard=true")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert call("GET", f"/v2/conversations/{conversation_id}").status_code == 400
    assert call("GET", "/v2/conversations").json() == {"data": [], "total_count": 0}


def test_a_conversation_in_test_mode_is_ended_at_birth_and_nothing_ever_happens_in_it(
    call: Call, clock: ManualClock
) -> None:
    created = call("POST", "/v2/conversations", json={"test_mode": True}).json()
    assert created["status"] == "ended"

    clock.advance(3600)

    read = call("GET", f"/v2/conversations/{created['conversation_id']}?verbose=true").json()
    assert (read["status"], read["events"]) == ("ended", [])


def test_a_private_room_comes_with_a_meeting_token(call: Call) -> None:
    assert call("POST", "/v2/conversations", json={"require_auth": True}).json()["meeting_token"]


@pytest.mark.parametrize(("asked", "told"), [("true", True), ("True", False), ("1", False), ("", False)])
def test_only_the_text_true_makes_a_read_verbose(box: TavusBox, call: Call, asked: str, told: bool) -> None:
    conversation_id = box.add(Script.finished())

    body = call("GET", f"/v2/conversations/{conversation_id}?verbose={asked}").json()

    assert ("events" in body) is told


def test_the_list_has_pages_of_ten_from_the_newest_on_unless_asked_otherwise(box: TavusBox, call: Call) -> None:
    ids = [box.add(Script.active(), created_at=box.clock.now() - age) for age in range(25)]

    assert _ids(call("GET", "/v2/conversations")) == ids[:10]
    assert _ids(call("GET", "/v2/conversations?page=3")) == ids[20:]
    assert _ids(call("GET", "/v2/conversations?limit=7&page=2")) == ids[7:14]
    assert call("GET", "/v2/conversations?page=9").json() == {"data": [], "total_count": 25}


def test_the_list_can_be_asked_for_one_status_and_never_shows_events(box: TavusBox, call: Call) -> None:
    active = box.add(Script.active())
    ended = box.add(Script.test_mode())

    assert _ids(call("GET", "/v2/conversations?status=active")) == [active]
    assert _ids(call("GET", "/v2/conversations?status=ended&verbose=true")) == [ended]
    rows = call("GET", "/v2/conversations?verbose=true").json()["data"]
    assert all("events" not in row for row in rows)


@pytest.mark.parametrize("query", ["limit=x", "limit=0", "page=0", "page=-1"])
def test_a_page_that_cannot_be_is_a_bad_request(call: Call, query: str) -> None:
    assert call("GET", f"/v2/conversations?{query}").status_code == 400


def test_the_concurrency_limit_refuses_a_create_until_a_call_ends(box: TavusBox, call: Call) -> None:
    box.account.concurrency_limit = 1
    first = call("POST", "/v2/conversations", json={}).json()["conversation_id"]

    refused = call("POST", "/v2/conversations", json={})
    assert refused.status_code == 400
    assert refused.json() == {"message": "User has reached maximum concurrent conversations"}

    call("POST", f"/v2/conversations/{first}/end")
    assert call("POST", "/v2/conversations", json={}).status_code == 200


def test_an_account_out_of_credits_creates_nothing(box: TavusBox, call: Call) -> None:
    box.account.credits = 1

    assert call("POST", "/v2/conversations", json={}).status_code == 200
    refused = call("POST", "/v2/conversations", json={})
    assert refused.status_code == 402
    assert refused.json() == {"message": "The user is out of conversational credits"}
    assert len(box.world) == 1


@pytest.mark.parametrize("status", [200, 400])
def test_a_second_end_answers_as_the_account_says(box: TavusBox, call: Call, status: Literal[200, 400]) -> None:
    box.account.second_end = status
    conversation_id = box.add(Script.active())
    path = f"/v2/conversations/{conversation_id}/end"

    assert [call("POST", path).status_code, call("POST", path).status_code] == [200, status]


@pytest.mark.parametrize(
    ("collection", "key"),
    [("pals", "pal_id"), ("personas", "persona_id"), ("faces", "face_id"), ("replicas", "replica_id")],
)
def test_clients_can_probe_with_old_and_new_collections(call: Call, collection: str, key: str) -> None:
    answer = call("GET", f"/v2/{collection}?limit=1")

    assert answer.status_code == 200
    assert next(iter(answer.json()["data"][0])) == key


def test_the_time_limits_of_a_create_call_end_the_call(call: Call, clock: ManualClock) -> None:
    created = call("POST", "/v2/conversations", json={"properties": {"max_call_duration": 30}}).json()

    clock.advance(31)

    body = call("GET", f"/v2/conversations/{created['conversation_id']}?verbose=true").json()
    assert body["status"] == "ended"
    reasons = [event["properties"] for event in body["events"] if event["event_type"] == "system.shutdown"]
    assert reasons == [{"shutdown_reason": "max_call_duration"}]


def _ids(answer: requests.Response) -> list[str]:
    return [row["conversation_id"] for row in answer.json()["data"]]
