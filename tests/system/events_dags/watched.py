"""DAGs that conversations start by their events; none of them costs a worker unless it says so."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_tavus.triggers.event import ConversationEventTrigger

START = datetime(2026, 1, 1, tzinfo=UTC)


def watched(name: str, **which: str) -> Asset:
    """An asset with a watcher of its own."""
    trigger = ConversationEventTrigger(poll_interval=60, **which)  # type: ignore[arg-type]
    return Asset(name, watchers=[AssetWatcher(name="tavus_default", trigger=trigger)])


CONVERSATIONS = watched("tavus_conversations")

with DAG(dag_id="on_each", schedule=[CONVERSATIONS], start_date=START, max_active_runs=1000):
    EmptyOperator(task_id="begin")

with DAG(dag_id="paused_meanwhile", schedule=[CONVERSATIONS], start_date=START):
    EmptyOperator(task_id="begin")

with DAG(dag_id="one_at_a_time", schedule=[CONVERSATIONS], start_date=START, max_active_runs=1):

    @task
    def takes_its_time() -> None:
        time.sleep(6)

    takes_its_time()

# Two watchers that differ, and one that is equal to the first, on one connection.
with DAG(dag_id="on_interviews", schedule=[watched("interviews", conversation_name="Interview *")], start_date=START):
    EmptyOperator(task_id="begin")

with DAG(dag_id="on_lessons", schedule=[watched("lessons", conversation_name="Lesson *")], start_date=START):
    EmptyOperator(task_id="begin")

with DAG(dag_id="on_each_as_well", schedule=[watched("the_same_conversations")], start_date=START):
    EmptyOperator(task_id="begin")
