"""Conversations that are created while things go wrong, for the system tests."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator

START = datetime(2025, 1, 1, tzinfo=UTC)
# So each run is told from others in the box; the operator does not look at it.
PAL = "{{ dag_run.conf['pal_id'] }}"
CONNECTION = "{{ dag_run.conf.get('tavus_conn_id', 'tavus_default') }}"
RETRIES: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=1)}


class StrickenOperator(CreateConversationOperator):
    """An operator that something befalls in its first try, when Tavus has answered and nobody has read it yet."""

    def execute(self, context: Any) -> Any:
        """Create the conversation, unless the first try does not come so far."""
        from airflow_provider_tavus.api.client import TavusClient

        exchange = TavusClient._exchange

        def stricken_exchange(client: TavusClient, call: Any) -> Any:
            answer = exchange(client, call)
            if context["ti"].try_number == 1 and not call.repeatable:
                self.blow()
            return answer

        TavusClient._exchange = stricken_exchange  # type: ignore[method-assign, assignment]
        return super().execute(context)

    def blow(self) -> None:
        """What befalls it."""
        raise NotImplementedError


class DyingOperator(StrickenOperator):
    """Its process dies, as one that takes too much memory does."""

    def blow(self) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class HangingOperator(StrickenOperator):
    """It hangs, for the test to kill all that runs around it."""

    def blow(self) -> None:
        """Hang."""
        time.sleep(600)


with DAG(dag_id="creates", start_date=START, schedule=None, default_args=RETRIES):
    CreateConversationOperator(task_id="create", pal_id=PAL, tavus_conn_id=CONNECTION, conversation_name="A call")

with DAG(dag_id="creates_in_a_dying_worker", start_date=START, schedule=None, default_args=RETRIES):
    # Whoever clears it, where Airflow does not retry it, may come when the call is over.
    DyingOperator(task_id="create", pal_id=PAL, when_cleared="reuse")

with DAG(dag_id="creates_and_hangs", start_date=START, schedule=None, default_args=RETRIES):
    HangingOperator(task_id="create", pal_id=PAL)

with DAG(dag_id="creates_and_waits", start_date=START, schedule=None, default_args=RETRIES):
    CreateConversationOperator(
        task_id="create",
        pal_id=PAL,
        callback_url="https://example.com/{{ dag_run.conf.get('token', 'none') }}",
        properties={"max_call_duration": "{{ dag_run.conf.get('seconds', 20) }}"},
        wait_for_completion=True,
        cancellation="end",
        poke_interval=2,
        timeout=900,
        deferrable=True,
    )

with DAG(dag_id="creates_and_waits_in_a_worker", start_date=START, schedule=None, default_args=RETRIES):
    CreateConversationOperator(
        task_id="create",
        pal_id=PAL,
        wait_for_completion=True,
        cancellation="end",
        poke_interval=2,
        timeout=300,
        deferrable=False,
    )

with DAG(dag_id="creates_many", start_date=START, schedule=None, default_args=RETRIES, max_active_tasks=100):

    @task
    def names(dag_run: Any = None) -> list[str]:
        """Name as many conversations as are asked for."""
        return [f"Call {number}" for number in range(dag_run.conf["creates"])]

    CreateConversationOperator.partial(
        task_id="create",
        pal_id=PAL,
        properties={"max_call_duration": "{{ dag_run.conf['seconds'] }}"},
        concurrency_timeout=1200,
        deferrable=True,
        max_active_tis_per_dag=100,
    ).expand(conversation_name=names())
