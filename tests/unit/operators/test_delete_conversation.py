from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tavus.api.errors import ServerError, UnreadableConnectionError
from airflow_provider_tavus.operators import delete_conversation
from airflow_provider_tavus.operators.delete_conversation import DeleteConversationOperator
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("connect")


class TaskInstance:
    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def delete(ti: TaskInstance | None = None, **arguments: Any) -> Any:
    context: Any = {"ti": ti or TaskInstance()}
    asked: dict[str, Any] = {"conversation_id": "over", "hard": False} | arguments
    return DeleteConversationOperator(task_id="delete", **asked).execute(context)


@pytest.fixture(autouse=True)
def conversations(box: TavusBox) -> None:
    box.add(Script.active(), conversation_id="live")
    box.add(Script.active(), conversation_id="over")
    box.end("over")


@pytest.mark.parametrize(("hard", "query"), [(True, {"hard": "true"}), (False, {})])
def test_a_conversation_is_deleted_as_hard_as_asked(hard: bool, query: dict[str, str], box: TavusBox) -> None:
    assert delete(hard=hard) == {"conversation_id": "over", "outcome": "deleted", "error": None}
    assert "over" not in box.world
    assert box.requests_of("delete")[0].query == query


def test_how_hard_has_to_be_said() -> None:
    with pytest.raises(Exception, match="hard"):
        DeleteConversationOperator(task_id="delete", conversation_id="c1")  # type: ignore[call-arg]


@pytest.mark.parametrize("argument", ["hard", "allow_active"])
def test_a_text_is_no_answer_to_whether_to_destroy(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be True or False"):
        DeleteConversationOperator(task_id="delete", conversation_id="c1", **{"hard": True, argument: "False"})  # type: ignore[arg-type]


def test_a_live_call_is_refused_unless_asked_for(box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match=r"still active.*allow_active=True"):
        delete(conversation_id="live")
    assert box.count("delete") == 0

    assert delete(conversation_id="live", allow_active=True)["outcome"] == "deleted"


def test_the_refusal_of_one_does_not_keep_the_others(box: TavusBox) -> None:
    ti = TaskInstance()
    with pytest.raises(AirflowFailException, match="still active"):
        delete(ti, conversation_id=["live", "over"])

    assert [one["outcome"] for one in ti.xcoms["return_value"]] == ["failed", "deleted"]
    assert "live" in box.world
    assert "over" not in box.world


def test_an_unknown_one_is_said_to_be_unknown_and_fails_if_asked() -> None:
    assert delete(conversation_id="c404")["outcome"] == "unknown"
    with pytest.raises(AirflowFailException, match="Check the id"):
        delete(conversation_id="c404", on_unknown="fail")


def test_the_whole_result_of_another_task_is_no_id_and_no_success(box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match=r"pass the id in it, for instance create\.output"):
        delete(conversation_id={"conversation_id": "over", "status": "ended"})
    assert box.count() == 0


@pytest.mark.parametrize("ids", ["over,live", "over;live", "('over',)", "{'over'}", '"over"'])
def test_several_in_one_text_are_no_id_and_no_success(ids: str, box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match=r"several in one text.*render_template_as_native_obj=True"):
        delete(conversation_id=ids)
    assert box.count() == 0


def test_a_404_of_whoever_answers_in_tavus_place_is_no_success(box: TavusBox) -> None:
    box.trouble("html", status=404)
    with pytest.raises(AirflowFailException, match="host"):
        delete(conversation_id=["over", "c404"], allow_active=True)


def test_an_answer_that_is_lost_makes_no_failure(box: TavusBox) -> None:
    box.trouble("lost_answer", route="delete", times=1)

    assert delete(on_unknown="fail")["outcome"] == "deleted"
    assert box.count("delete") == 2


def test_a_refusal_that_leaves_the_conversation_there_is_no_deletion(box: TavusBox) -> None:
    box.trouble(route="delete", status=400, body={"error": "conversation_id over: try later"})

    with pytest.raises(AirflowFailException, match=r"try later. But the conversation is still there"):
        delete(on_unknown="succeed")
    assert "over" in box.world


def test_a_retry_knows_what_the_try_before_it_has_deleted(
    box: TavusBox, connect: Callable[..., str], task_instance_type: Any
) -> None:
    asked: dict[str, Any] = {"conversation_id": ["over", "also"], "hard": True, "on_unknown": "fail"}
    operator = DeleteConversationOperator(task_id="delete", **asked)
    box.add(Script.finished(), conversation_id="also", created_at=box.clock.now() - 3600)
    connect(extra={"retries": 0})
    box.trouble(status=503, conversation_id="also", times=1)
    ti = task_instance_type(task_id="delete")
    with pytest.raises(ServerError):
        ti.run(operator)

    assert [one["outcome"] for one in ti.run(operator)] == ["deleted", "deleted"]
    assert box.count("delete") == 2

    ti.clear()
    with pytest.raises(AirflowFailException, match="Check the id"):
        ti.run(operator)


def test_a_retry_knows_what_was_deleted_also_after_a_try_that_did_nothing(
    box: TavusBox, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, task_instance_type: Any
) -> None:
    asked: dict[str, Any] = {"conversation_id": ["live", "over"], "hard": True, "on_unknown": "fail"}
    operator = DeleteConversationOperator(task_id="delete", allow_active=True, **asked)
    connect(extra={"retries": 0})
    box.trouble(status=503, conversation_id="live", times=1)
    ti = task_instance_type(task_id="delete")
    with pytest.raises(ServerError):
        ti.run(operator)
    with monkeypatch.context() as away:
        away.delenv("AIRFLOW_CONN_TAVUS_DEFAULT")
        with pytest.raises(UnreadableConnectionError):
            ti.run(operator)

    assert [one["outcome"] for one in ti.xcoms["return_value"]] == ["failed", "deleted"]
    assert [one["outcome"] for one in ti.run(operator)] == ["deleted", "deleted"]


def test_the_one_that_was_being_deleted_when_the_task_was_interrupted_may_be_gone(
    box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(delete_conversation, "delete_at_tavus", interrupted)
    ti = TaskInstance()

    with pytest.raises(KeyboardInterrupt):
        delete(ti, conversation_id=["over", "live"])

    under_way, not_tried = ti.xcoms["return_value"]
    assert under_way["error"] == "The task ended while it was this conversation's turn: it may be done."
    assert not_tried["error"] == "The task ended before it was this conversation's turn."


def test_a_refused_key_is_not_tried_on_every_conversation(box: TavusBox) -> None:
    box.trouble(status=401)
    with pytest.raises(AirflowFailException, match="valid API key"):
        delete(conversation_id=["over", "live", "c404"])
    assert box.count() == 1


def test_a_call_of_which_it_is_not_certain_that_it_is_over_is_not_deleted(box: TavusBox) -> None:
    box.add(Script.active(active_status="starting"), conversation_id="odd")
    with pytest.raises(AirflowFailException, match=r"still starting.*allow_active=True"):
        delete(conversation_id="odd")
    assert "odd" in box.world


def test_an_unknown_status_after_the_shutdown_keeps_nobody_from_deleting(box: TavusBox) -> None:
    box.add(Script.finished(ended_status="error"), conversation_id="odd", created_at=box.clock.now() - 3600)
    assert delete(conversation_id="odd")["outcome"] == "deleted"
