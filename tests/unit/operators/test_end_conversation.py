from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tavus.api.errors import ServerError
from airflow_provider_tavus.operators.end_conversation import EndConversationOperator
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("connect")


class TaskInstance:
    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def end(ti: TaskInstance | None = None, **arguments: Any) -> Any:
    context: Any = {"ti": ti or TaskInstance()}
    return EndConversationOperator(task_id="end", **{"conversation_id": "live"} | arguments).execute(context)


@pytest.fixture(autouse=True)
def conversations(box: TavusBox) -> None:
    box.add(Script.active(), conversation_id="live")
    box.add(Script.active(), conversation_id="over")
    box.end("over")


def is_over(box: TavusBox, conversation_id: str) -> bool:
    return box.conversation(conversation_id).is_over(box.clock.now())


def test_a_live_call_is_ended(box: TavusBox) -> None:
    ti = TaskInstance()
    assert end(ti) == {"conversation_id": "live", "outcome": "ended", "error": None}
    assert is_over(box, "live")
    assert ti.xcoms == {"conversation_id": "live"}


def test_a_call_that_was_over_is_let_be_and_said_to_have_been(box: TavusBox) -> None:
    assert end(conversation_id="over")["outcome"] == "already_ended"
    assert box.count("end") == 0


def test_a_call_in_an_unknown_status_is_ended_and_not_taken_for_over(box: TavusBox) -> None:
    box.add(Script.active(active_status="starting"), conversation_id="odd")
    assert end(conversation_id="odd")["outcome"] == "ended"
    assert is_over(box, "odd")


@pytest.mark.parametrize(("second_end", "outcome"), [(200, "ended"), (400, "already_ended")])
def test_one_that_is_over_in_an_unknown_status_is_no_failure(second_end: Any, outcome: str, box: TavusBox) -> None:
    box.account.second_end = second_end
    box.add(Script.finished(ended_status="error"), conversation_id="odd", created_at=box.clock.now() - 3600)
    assert end(conversation_id="odd")["outcome"] == outcome


def test_whoever_wants_to_can_fail_then() -> None:
    with pytest.raises(AirflowFailException, match="was over before"):
        end(conversation_id="over", on_already_ended="fail")


def test_an_unknown_one_fails_unless_asked_otherwise() -> None:
    with pytest.raises(AirflowFailException, match="Check the id"):
        end(conversation_id="c404")
    assert end(conversation_id="c404", on_unknown="succeed")["outcome"] == "unknown"


@pytest.mark.parametrize("second_end", [200, 400])
@pytest.mark.parametrize("trouble", ["lost_answer", "cut"])
def test_an_answer_that_is_lost_makes_no_failure(second_end: Any, trouble: Any, box: TavusBox) -> None:
    box.account.second_end = second_end
    box.trouble("lost_answer", route="end", times=1)

    assert end(on_already_ended="fail")["outcome"] == "ended"
    assert box.count("end") == 2


def test_a_second_end_that_is_refused_as_if_the_conversation_was_unknown_has_ended_it(box: TavusBox) -> None:
    box.trouble("lost_answer", route="end", times=1)
    box.trouble(route="end", status=400, body={"error": "Invalid conversation_id"})

    assert end()["outcome"] == "ended"
    assert box.count("end") == 2


def test_a_conversation_that_is_gone_when_it_is_to_be_ended_is_unknown(box: TavusBox) -> None:
    box.trouble(route="end", status=400, body={"error": "Invalid conversation_id"})
    box.trouble(route="get", status=400, body={"error": "Invalid conversation_id"}, after=1)

    assert end(on_unknown="succeed")["outcome"] == "unknown"


@pytest.mark.parametrize("words", ["Not now", "Invalid conversation_id"])
@pytest.mark.parametrize("conversation_id", ["live", "odd"])
def test_a_refusal_that_leaves_the_call_going_on_is_a_failure(words: str, conversation_id: str, box: TavusBox) -> None:
    box.add(Script.active(active_status="starting"), conversation_id="odd")
    box.trouble(route="end", status=400, body={"error": words})
    with pytest.raises(AirflowFailException, match=rf"{words}\. The call goes on"):
        end(conversation_id=conversation_id, on_unknown="succeed")


def test_all_of_a_list_are_worked_on_and_the_result_tells_of_each(box: TavusBox) -> None:
    ti = TaskInstance()
    with pytest.raises(AirflowFailException, match="c404"):
        end(ti, conversation_id=["c404", "over", "live", "live"])

    assert is_over(box, "live")
    outcomes = [(one["conversation_id"], one["outcome"]) for one in ti.xcoms["return_value"]]
    assert outcomes == [("c404", "failed"), ("over", "already_ended"), ("live", "ended")]
    assert "Check the id" in ti.xcoms["return_value"][0]["error"]
    assert "conversation_id" not in ti.xcoms


def test_a_list_in_which_a_retry_can_cure_something_is_retried(box: TavusBox, connect: Callable[..., str]) -> None:
    connect(extra={"retries": 0})
    box.trouble(route="get", conversation_id="live", status=500)
    with pytest.raises(ServerError):
        end(conversation_id=["c404", "live"])


def test_a_refused_key_is_not_tried_on_every_conversation(box: TavusBox) -> None:
    box.trouble(status=401)
    with pytest.raises(AirflowFailException, match="valid API key"):
        end(conversation_id=["live", "over", "c404"])
    assert box.count() == 1


def test_what_was_done_before_the_key_was_refused_is_told(box: TavusBox) -> None:
    box.trouble(route="end", status=401)
    ti = TaskInstance()

    with pytest.raises(AirflowFailException, match="valid API key"):
        end(ti, conversation_id=["over", "live", "c404"])

    outcomes = [(one["conversation_id"], one["outcome"], one["error"] is None) for one in ti.xcoms["return_value"]]
    assert outcomes == [("over", "already_ended", True), ("live", "failed", False), ("c404", "failed", False)]
    assert ti.xcoms["return_value"][2]["error"] == "The task ended before it was this conversation's turn."


def test_what_was_done_before_the_task_was_interrupted_is_told(box: TavusBox, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(EndConversationOperator, "_end_live", interrupted)
    ti = TaskInstance()

    with pytest.raises(KeyboardInterrupt):
        end(ti, conversation_id=["over", "live"])

    assert [one["outcome"] for one in ti.xcoms["return_value"]] == ["already_ended", "failed"]


def test_an_empty_list_is_no_work() -> None:
    assert end(conversation_id=[]) == []


def test_what_is_no_id_is_refused_before_anything_is_ended(box: TavusBox) -> None:
    with pytest.raises(AirflowFailException, match="no conversation_id"):
        end(conversation_id=["live", "a b"])
    assert box.count() == 0


@pytest.mark.parametrize("argument", ["on_unknown", "on_already_ended"])
def test_a_choice_that_is_none_is_refused_when_the_dag_is_parsed(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be 'succeed' or 'fail'"):
        EndConversationOperator(task_id="end", conversation_id="c1", **{argument: "ignore"})  # type: ignore[arg-type]
