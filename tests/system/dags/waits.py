"""Waits in every mode, and waits that end badly, for the system tests."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor

START = datetime(2025, 1, 1, tzinfo=UTC)
MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False},
    # A pause in which the scheduler is sure to hear of the worker's end, however busy the machine is.
    "reschedule": {"mode": "reschedule", "deferrable": False, "poke_interval": 12},
    "deferrable": {"deferrable": True},
    "from_trigger": {"deferrable": True, "start_from_trigger": True},
}


def wait(task_id: str, **arguments: Any) -> ConversationSensor:
    asked: dict[str, Any] = {
        "conversation_id": "{{ dag_run.conf['conversation_id'] }}",
        "tavus_conn_id": "{{ dag_run.conf.get('tavus_conn_id', 'tavus_default') }}",
        "poke_interval": 3,
        "timeout": 120,
    }
    return ConversationSensor(task_id=task_id, **asked | arguments)


with DAG(dag_id="waits_in_every_mode", start_date=START, schedule=None):
    for mode, arguments in MODES.items():
        wait(mode, on_missing="fail", grace_period=3, **arguments)

with DAG(dag_id="waits_for_one", start_date=START, schedule=None):
    wait("wait", deferrable=True)

with DAG(dag_id="waits_too_long", start_date=START, schedule=None, default_args={"retries": 2}):
    for mode, arguments in MODES.items():
        wait(mode, **arguments | {"timeout": 12})


with DAG(dag_id="waits_and_is_cleared", start_date=START, schedule=None):
    for mode in ("poke", "deferrable"):
        conversation_id = f"{{{{ dag_run.conf['{mode}'] }}}}"
        wait(mode, **MODES[mode] | {"conversation_id": conversation_id, "timeout": 30})


with DAG(dag_id="waits_without_a_worker", start_date=START, schedule=None):

    @task
    def ids(dag_run: Any = None) -> list[str]:
        return [dag_run.conf["conversation_id"]]

    wait("wait", **MODES["from_trigger"])
    found = ids()
    found >> wait("handed_over", conversation_id="{{ ti.xcom_pull(task_ids='ids')[0] }}", **MODES["from_trigger"])
    ConversationSensor.partial(task_id="mapped", **MODES["from_trigger"]).expand(conversation_id=found)


class DyingSensor(ConversationSensor):
    """A sensor whose worker dies in its first try, after it has looked."""

    def _pause(self, wait: Any, next_look: float) -> None:
        if self._dying:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._pause(wait, next_look)

    def execute(self, context: Any) -> Any:
        """Die as a process that is out of memory does."""
        self._dying = context["ti"].try_number == 1
        return super().execute(context)


with DAG(dag_id="waits_in_a_dying_worker", start_date=START, schedule=None):
    DyingSensor(
        task_id="wait",
        conversation_id="{{ dag_run.conf['conversation_id'] }}",
        poke_interval=3,
        timeout=15,
        retries=1,
        retry_delay=timedelta(seconds=10),
    )

with DAG(dag_id="reads_badly", start_date=START, schedule=None, default_args={"retries": 2}):
    for verbose in (False, True):
        GetConversationOperator(
            task_id=f"read_verbose_{verbose}",
            conversation_id="{{ dag_run.conf['conversation_id'] }}",
            tavus_conn_id="{{ dag_run.conf['tavus_conn_id'] }}",
            verbose=verbose,
        )
