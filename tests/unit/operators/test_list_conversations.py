from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.operators.list_conversations import FILTERS, ListConversationsOperator
from airflow_provider_tavus.testing import ListView, Script, TavusBox

pytestmark = pytest.mark.usefixtures("connect")

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


def context(map_index: int | None = -1) -> Any:
    return {"ti": SimpleNamespace(map_index=map_index)}


def listed(map_index: int | None = -1, **arguments: Any) -> Any:
    return ListConversationsOperator(task_id="list", **arguments).execute(context(map_index))


@pytest.fixture
def three(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c2", created_at=NOON, name="Interview 2", persona_id="p2")
    box.add(Script.finished(), conversation_id="c1", created_at=NOON - 3600, name="Interview 1", replica_id="r1")
    box.add(Script.active(names="new"), conversation_id="c3", created_at=NOON + 3600, name=None, persona_id="p2")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["c1", "c2", "c3"]),
        ({"status": "ended"}, ["c1", "c2"]),
        ({"status": "active"}, ["c3"]),
        ({"created_after": "2026-11-23T12:00:00Z"}, ["c2", "c3"]),
        ({"created_before": "2026-11-23T12:00:00"}, ["c1"]),
        ({"created_after": datetime(2026, 11, 23, 11), "created_before": datetime(2026, 11, 23, 13)}, ["c1", "c2"]),
        ({"conversation_name": "Interview *"}, ["c1", "c2"]),
        ({"conversation_name": "Interview"}, []),
        ({"pal_id": "p2"}, ["c2", "c3"]),
        ({"face_id": "r1"}, ["c1"]),
        ({"pal_id": "p2", "status": "active"}, ["c3"]),
    ],
    ids=str,
)
def test_what_passes_all_filters_is_listed_oldest_first(filters: dict[str, Any], ids: list[str]) -> None:
    assert listed(**filters) == ids


@pytest.mark.usefixtures("three")
def test_rows_are_plain_and_without_the_room_unless_named() -> None:
    rows = listed(returns="rows")
    assert json.loads(json.dumps(rows)) == rows
    assert [row["conversation_name"] for row in rows] == ["Interview 1", "Interview 2", None]
    assert "conversation_url" not in rows[0]
    assert listed(returns="rows", include=["conversation_url"])[0]["conversation_url"].startswith("https://")


@pytest.mark.usefixtures("three")
def test_a_row_without_times_is_asked_for_them(box: TavusBox) -> None:
    box.add(Script.finished(list_times=False), conversation_id="c4", created_at=NOON)

    assert listed(created_after="2026-11-23T12:00:00Z", created_before="2026-11-23T12:30:00Z") == ["c2", "c4"]
    assert box.count("get") == 1
    assert listed(status="ended") == ["c4", "c1", "c2"]
    assert box.count("get") == 1, "nobody asked for times"


@pytest.mark.usefixtures("three")
def test_a_row_that_is_deleted_before_it_is_asked_for_its_times_is_not_listed(box: TavusBox) -> None:
    box.add(Script.finished(list_times=False), conversation_id="c4", created_at=NOON)
    box.trouble(status=400, route="get", conversation_id="c4")

    assert listed(created_after="2026-11-23T12:00:00Z") == ["c2", "c3"]


@pytest.mark.usefixtures("three")
def test_more_than_the_maximum_is_an_error_that_says_so() -> None:
    assert len(listed(max_conversations=3)) == 3
    with pytest.raises(AirflowFailException, match="More than 2 conversations pass the filters"):
        listed(max_conversations=2)


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "over"},
        {"created_after": "yesterday"},
        {"created_before": "None"},
        {"pal_id": "None"},
        {"face_id": ""},
        {"conversation_name": "None"},
        {"conversation_name": 20261123},
        {"pal_id": 7},
        {"face_id": ["r1"]},
        {"status": ["ended"]},
    ],
    ids=str,
)
def test_a_filter_that_means_nothing_is_refused_before_anything_is_read(filters: Any, box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match=next(iter(filters))):
        listed(**filters)
    assert box.count() == 0


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_whose_template_reads_what_is_not_there_is_refused(name: str, box: TavusBox) -> None:
    filters: Any = {name: "{{ params.what_is_not_there }}"}
    listing = ListConversationsOperator(task_id="list", **filters)
    # As a DAG with render_template_as_native_obj=True does.
    setattr(listing, name, None)

    with pytest.raises(AirflowFailException, match=f"{name} is None: what its template reads is not there"):
        listing.execute(context())
    assert box.count() == 0


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("name", FILTERS)
def test_a_mapped_task_lists_nothing_where_what_it_is_expanded_over_has_none(name: str, box: TavusBox) -> None:
    # Values that were resolved, as a mapped task is made with: None is no filter that was left out.
    filters: Any = {name: None}
    with pytest.raises(AirflowFailException, match=f"{name} is None in this mapped task"):
        listed(map_index=0, **filters)
    assert box.count() == 0
    for unmapped in (-1, None):
        assert listed(map_index=unmapped, **filters) == ["c1", "c2", "c3"]
    assert listed(map_index=0) == ["c1", "c2", "c3"]


def test_a_row_that_tells_no_creation_time_at_all_is_not_taken_for_an_old_one(box: TavusBox) -> None:
    box.add(Script.finished(list_times=False), conversation_id="c4", created_at=NOON)
    box.trouble(route="get", status=200, body={"conversation_id": "c4", "created_at": ""})

    assert listed(created_before="2026-11-24T12:00:00Z") == []
    assert listed(created_after="2026-11-24T12:00:00Z") == ["c4"]


def test_a_list_that_fits_on_a_page_is_read_once(box: TavusBox) -> None:
    for _ in range(100):
        box.add()
    assert len(listed()) == 100
    assert box.count("list") == 1


def test_a_silent_cap_of_the_page_loses_nothing(box: TavusBox) -> None:
    box.account.list_view = ListView(limit_cap=7)
    ids = {box.add() for _ in range(50)}
    assert set(listed()) == ids


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.sampled_from(["newest", "oldest", "random"]),
    cap=st.integers(3, 20),
    count=st.integers(1, 60),
    churn=st.fixed_dictionaries({name: st.integers(0, 2) for name in ("come", "finish", "vanish")}),
)
def test_whatever_moves_while_it_is_read_what_stays_is_listed(
    order: Any, cap: int, count: int, churn: dict[str, Any], box: TavusBox
) -> None:
    box.stop_troubles()
    for conversation in list(box.world):
        box.remove(conversation.conversation_id)
    before = {box.add(created_at=NOON) for _ in range(count)}
    box.account.list_view = ListView(order=order, limit_cap=cap)
    box.trouble("list_churn", times=10, **churn)

    found = listed()

    stayed = before & {conversation.conversation_id for conversation in box.world}
    assert set(found) >= stayed
    assert len(found) == len(set(found))


def test_its_result_can_be_mapped_over() -> None:
    with DAG("mapped", schedule=None):
        ids = ListConversationsOperator(task_id="list").output
        mapped = GetConversationOperator.partial(task_id="get").expand(conversation_id=ids)
    assert mapped.operator_class is GetConversationOperator


@pytest.mark.parametrize("maximum", [0, -1, "100", True, None])
def test_a_maximum_that_is_none_is_refused_when_the_dag_is_parsed(maximum: Any) -> None:
    with pytest.raises(ValueError, match="max_conversations must be a whole number from 1 on"):
        ListConversationsOperator(task_id="list", max_conversations=maximum)
