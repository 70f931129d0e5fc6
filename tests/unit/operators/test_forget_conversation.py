from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tavus.api.errors import ServerError
from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator
from airflow_provider_tavus.operators.forget_conversation import ForgetConversationOperator
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("connect")


@pytest.fixture
def destination(box: TavusBox, tmp_path: Path) -> str:
    """A destination into which one conversation was collected."""
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 7200)
    destination = f"file://{tmp_path}/lake"
    context: Any = {"ti": None}
    CollectConversationsOperator(task_id="collect", destination=destination).execute(context)
    box.forget_requests()
    return destination


def forget(**arguments: Any) -> dict[str, Any]:
    context: Any = {}
    return ForgetConversationOperator(task_id="forget", **{"conversation_id": "c1"} | arguments).execute(context)


def test_it_is_removed_from_the_destination_and_left_at_tavus(destination: str, box: TavusBox, tmp_path: Path) -> None:
    record = forget(destination=destination)

    assert not list(tmp_path.glob("lake/raw/*/*.json"))
    assert record["removed"] == [f"raw/{tmp_path.joinpath('lake/raw').iterdir().__next__().name}/c1.json"]
    assert not record["deleted_at_tavus"]
    assert box.count() == 0


def test_it_is_deleted_at_tavus_for_good_if_asked_to(destination: str, box: TavusBox) -> None:
    assert forget(destination=destination, delete_at_tavus=True)["deleted_at_tavus"]
    (request,) = box.requests
    assert (request.method, request.query) == ("DELETE", {"hard": "true"})
    assert "c1" not in box.world


def test_that_it_is_gone_at_tavus_already_does_no_harm(destination: str, box: TavusBox, tmp_path: Path) -> None:
    box.remove("c1")
    record = forget(destination=destination, delete_at_tavus=True)
    assert not list(tmp_path.glob("lake/raw/*/*.json"))
    assert record["deleted_at_tavus"] is None, "perhaps it is another account's"


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        ({"status": 503}, ServerError),
        ({"status": 400, "body": {"error": "conversation_id c1: try later"}}, AirflowFailException),
    ],
)
def test_that_it_cannot_be_deleted_at_tavus_fails_and_keeps_nothing_at_the_destination(
    trouble: dict[str, Any], error: type[Exception], destination: str, box: TavusBox, tmp_path: Path
) -> None:
    stop = box.trouble(route="delete", **trouble).stop
    with pytest.raises(error):
        forget(destination=destination, delete_at_tavus=True)

    assert "c1" in box.world
    assert not list(tmp_path.glob("lake/raw/*/*.json"))
    (record,) = tmp_path.glob("lake/_runs/*-forgotten.json")
    assert json.loads(record.read_text())["deleted_at_tavus"] is False

    stop()
    assert forget(destination=destination, delete_at_tavus=True)["deleted_at_tavus"]


def test_what_is_no_id_is_refused_before_anything_is_changed(destination: str, box: TavusBox, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="conversation_id"):
        forget(destination=destination, conversation_id="None")
    assert list(tmp_path.glob("lake/raw/*/*.json"))
    assert box.count() == 0
