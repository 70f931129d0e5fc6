from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_tavus.testing import ManualClock, Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    Call = Callable[..., requests.Response]
    Listed = Callable[..., list[str]]


@pytest.fixture
def listed(call: Call) -> Listed:
    """Return the ids on a page."""

    def ids(query: str = "limit=100") -> list[str]:
        rows = call("GET", f"/v2/conversations?{query}").json()["data"]
        return [row["conversation_id"] for row in rows]

    return ids


@pytest.fixture
def newest_first(box: TavusBox, clock: ManualClock) -> list[str]:
    return [box.add(Script.active(), created_at=clock.now() - age) for age in range(30)]


def test_the_list_can_show_the_oldest_first(box: TavusBox, listed: Listed, newest_first: list[str]) -> None:
    box.trouble("list_order", order="oldest", times=1)

    assert listed() == newest_first[::-1]
    assert listed() == newest_first


def test_a_random_order_is_no_order_but_holds_from_page_to_page(
    box: TavusBox, listed: Listed, newest_first: list[str]
) -> None:
    box.trouble("list_order", order="random")

    assert listed() == listed()
    assert listed() not in (newest_first, newest_first[::-1])
    assert listed("page=1") + listed("page=2") + listed("page=3") == listed()
    assert sorted(listed()) == sorted(newest_first)


def test_a_shuffled_order_is_another_at_every_call(box: TavusBox, listed: Listed, newest_first: list[str]) -> None:
    box.trouble("list_order", order="shuffled")

    assert listed() != listed()
    assert sorted(listed()) == sorted(newest_first)


def test_a_limit_can_be_capped_without_a_word(
    box: TavusBox, listed: Listed, newest_first: list[str], call: Call
) -> None:
    box.trouble("list_cap", limit=7)

    assert listed("limit=100&page=2") == newest_first[7:14]
    assert listed("limit=3") == newest_first[:3]
    assert call("GET", "/v2/conversations?limit=100").json()["total_count"] == 30


def test_a_list_can_lag_behind_the_reads(box: TavusBox, call: Call, listed: Listed, clock: ManualClock) -> None:
    box.trouble("list_lag", lag=60)
    deleted, ended = box.add(Script.active()), box.add(Script.active())
    clock.advance(120)
    created = box.add(Script.active())
    box.remove(deleted)
    box.end(ended)

    assert set(listed("status=active")) == {ended, deleted}
    assert call("GET", f"/v2/conversations/{deleted}").status_code == 400
    assert call("GET", f"/v2/conversations/{ended}").json()["status"] == "ended"
    assert call("GET", f"/v2/conversations/{created}").status_code == 200

    clock.advance(61)
    assert listed() == [created, ended]
    assert listed("status=active") == [created]


def test_conversations_come_end_and_vanish_between_two_pages(
    box: TavusBox, call: Call, listed: Listed, newest_first: list[str]
) -> None:
    box.trouble("list_churn", come=2, finish=3, vanish=1, times=1)

    before = call("GET", "/v2/conversations?limit=100").json()
    after = call("GET", "/v2/conversations?limit=100").json()

    old, new = ({row["conversation_id"] for row in page["data"]} for page in (before, after))
    assert (before["total_count"], after["total_count"]) == (30, 31)
    assert len(old - new) == 1 or len(new - old) == 1
    assert 1 <= len(new - old) <= 2
    assert 2 <= sum(row["status"] == "ended" for row in after["data"]) <= 3


def test_trouble_of_the_list_cannot_be_asked_for_on_another_call(box: TavusBox) -> None:
    with pytest.raises(ValueError, match="trouble of the list call"):
        box.trouble("list_lag", route="get", lag=1)


def test_trouble_of_the_list_leaves_other_calls_alone(box: TavusBox, call: Call) -> None:
    trouble = box.trouble("list_order", order="oldest")

    call("GET", f"/v2/conversations/{box.add()}")

    assert trouble.happened == 0
