"""The retry policy that the guide shows, asked about what the operator really raises."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from snippets import blocks

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator

if TYPE_CHECKING:
    from airflow_provider_tavus.testing import TavusBox

(SHOWN,) = [block for block in blocks("python") if "RetryPolicy" in block.text]

pytestmark = pytest.mark.skipif(not SHOWN.runs_here, reason="this Airflow has no retry policies")


def decision_about(error: BaseException) -> tuple[str, timedelta | None]:
    namespace: dict[str, Any] = {}
    exec(compile(SHOWN.text, SHOWN.name, "exec"), namespace)
    decision = namespace["PATIENCE"].evaluate(error, try_number=1, max_tries=5)
    return decision.action.value, decision.retry_delay


@pytest.mark.parametrize(
    ("trouble", "decision"),
    [
        ({"status": 429}, ("retry", timedelta(minutes=10))),
        ({"kind": "reset"}, ("retry", timedelta(seconds=90))),
        ({"kind": "hang"}, ("retry", timedelta(seconds=90))),
        ({"kind": "html", "status": 200}, ("retry", timedelta(seconds=90))),
        ({"status": 503}, ("default", None)),
    ],
    ids=str,
)
def test_it_says_when_to_retry_what_a_retry_may_cure(
    trouble: dict[str, Any], decision: Any, manual_box: TavusBox, task_instance_type: Any
) -> None:
    manual_box.trouble(route="create", **trouble)
    with pytest.raises(TavusError) as raised:
        task_instance_type(now=manual_box.clock.now).run(CreateConversationOperator(task_id="create", pal_id="p1"))
    assert decision_about(raised.value) == decision


def test_it_is_not_asked_about_what_no_retry_can_cure(manual_box: TavusBox, task_instance_type: Any) -> None:
    # Airflow fails the task for this one without asking any policy.
    manual_box.account.credits = 0
    with pytest.raises(AirflowFailException):
        task_instance_type(now=manual_box.clock.now).run(CreateConversationOperator(task_id="create", pal_id="p1"))
