from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_tavus.api.errors import ServerError
from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("connect")


class TaskInstance:
    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def get(**arguments: Any) -> Any:
    context: Any = {"ti": TaskInstance()}
    return GetConversationOperator(task_id="get", **{"conversation_id": "c1"} | arguments).execute(context)


@pytest.fixture(autouse=True)
def conversation(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)


def test_verbose_gives_the_transcript_as_plain_json() -> None:
    conversation = get(verbose=True)

    assert conversation["status"] == "ended"
    assert conversation["shutdown_reason"] == "participant_left_timeout"
    assert {turn["role"] for turn in conversation["transcript"]} >= {"user", "assistant"}
    assert json.loads(json.dumps(conversation)) == conversation


def test_without_verbose_no_word_is_fetched(box: TavusBox) -> None:
    conversation = get()

    assert conversation["transcript"] is None
    assert conversation["events"] is None
    assert "verbose" not in box.requests[-1].query


@pytest.mark.parametrize("verbose", ["False", "{{ params.verbose }}", None, 1])
def test_what_says_not_clearly_whether_to_fetch_words_is_refused_when_the_dag_is_parsed(verbose: Any) -> None:
    with pytest.raises(ValueError, match="verbose must be True or False"):
        GetConversationOperator(task_id="get", conversation_id="c1", verbose=verbose)


def test_the_room_is_left_out_unless_named() -> None:
    assert "conversation_url" not in get()
    assert get(include=["conversation_url"])["conversation_url"].startswith("https://")


@pytest.mark.parametrize("include", ["conversation_url", ["conversation_ur"], ["status"]], ids=repr)
def test_an_include_that_names_nothing_is_refused_when_the_dag_is_parsed(include: Any) -> None:
    with pytest.raises(ValueError, match="include must be a list of names out of"):
        GetConversationOperator(task_id="get", conversation_id="c1", include=include)


def test_an_unknown_id_fails_without_being_retried_by_airflow(box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match="c404: Invalid conversation_id"):
        get(conversation_id="c404")
    assert box.count() == 1


def test_an_outage_is_left_to_the_tasks_own_retries(box: TavusBox, connect: Callable[..., str]) -> None:
    connect(extra={"retries": 1})
    box.trouble(route="get", status=500)

    with pytest.raises(ServerError):
        get()
    assert box.count() == 2


@pytest.mark.parametrize(
    "conversation_id", ["", "None", "a b", None, 7, "['c1']", "..", "c1\n", "https://tavus.daily.co/c1"]
)
def test_what_is_no_id_is_refused_before_anything_is_sent_or_kept(conversation_id: Any, box: TavusBox) -> None:
    ti = TaskInstance()
    with pytest.raises(AirflowFailException, match="conversation_id"):
        GetConversationOperator(task_id="get", conversation_id=conversation_id).execute({"ti": ti})  # type: ignore[typeddict-item]
    assert box.count() == 0
    assert not ti.xcoms


def test_ids_and_connections_are_templated() -> None:
    assert {"conversation_id", "tavus_conn_id"} <= set(GetConversationOperator.template_fields)


def test_it_can_be_mapped_over_ids() -> None:
    with DAG("mapped", schedule=None):
        mapped = GetConversationOperator.partial(task_id="get", verbose=True).expand(conversation_id=["c1", "c2"])
    assert mapped.operator_class is GetConversationOperator
