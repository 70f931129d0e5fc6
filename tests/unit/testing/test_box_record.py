from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.testing import ManualClock

    Call = Callable[..., requests.Response]


def test_every_request_is_counted_by_call_conversation_status_and_time(
    box: TavusBox, call: Call, clock: ManualClock
) -> None:
    conversation_id = box.add(Script.active())
    call("GET", f"/v2/conversations/{conversation_id}?verbose=true")
    call("GET", "/v2/conversations/cnobody")
    clock.advance(60)
    call("POST", f"/v2/conversations/{conversation_id}/end")
    call("GET", "/v2/conversations")

    assert box.count() == 4
    assert box.count("get") == 2
    assert box.count("get", conversation_id) == 1
    assert box.count(status=400) == 1
    assert box.count(method="POST") == 1
    assert box.count(since=clock.now()) == 2
    assert box.count(until=clock.now()) == 2
    assert box.requests[0].query == {"verbose": "true"}
    assert [request.route for request in box.requests] == ["get", "get", "end", "list"]
    box.forget_requests()
    assert box.count() == 0


def test_a_record_holds_what_was_sent_but_no_key(box: TavusBox, call: Call) -> None:
    call(
        "POST",
        f"/v2/conversations?leak={box.api_key}",
        json={"conversation_name": "Tea", "leak": box.api_key},
        headers={"User-Agent": f"probe {box.api_key}", "Authorization": "Bearer other-secret"},
    )
    requests.get(f"{box.base_url}/v2/conversations/wrong-key", headers={"x-api-key": "wrong-key"}, timeout=5)

    request = box.requests[0]
    assert request.body == {"conversation_name": "Tea", "leak": "***"}
    assert request.headers["user-agent"] == "probe ***"
    told = repr(box.requests)
    assert all(secret not in told for secret in (box.api_key, "wrong-key", "other-secret"))


def test_requests_of_a_call_that_does_not_exist_are_not_counted_as_none(box: TavusBox) -> None:
    with pytest.raises(ValueError, match="no call is named 'creat'; there is create"):
        box.count("creat")
