"""
A conversation's whole life: create it, invite to it, wait for its transcript, read it, and delete it after 30 days.

A retry of any task makes no second conversation. The second DAG deletes what the first one created, and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.operators.delete_conversation import DeleteConversationOperator
from airflow_provider_tavus.operators.list_conversations import ListConversationsOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor

with DAG(
    dag_id="example_tavus_whole_life",
    schedule=None,
    params={
        "pal_id": Param("p1fec29e7f23", type="string", description="Who holds the conversation."),
        "max_call_duration": Param(1800, type="integer", description="How long it may last, in seconds."),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["example", "tavus"],
    doc_md=__doc__,
) as life:
    create: Any = CreateConversationOperator(
        task_id="create",
        pal_id="{{ params.pal_id }}",
        conversation_name="Example interview {{ run_id }}",
        properties={"max_call_duration": "{{ params.max_call_duration }}"},
        deferrable=True,
    )

    @task
    def invite(conversation_id: Any) -> str:
        # Given the id alone: Airflow stores and shows the arguments of a task, and the URL opens the room.
        hook = TavusHook()
        with hook.get_conn():
            conversation = hook.get_conversation(conversation_id)
        # Here conversation.conversation_url would be sent to whoever is to be in the call.
        return conversation.conversation_id

    invited: Any = invite(create.output["conversation_id"])
    wait = ConversationSensor(
        task_id="wait", conversation_id=invited, poke_interval=2, timeout=60 * 60, deferrable=True
    )
    read = GetConversationOperator(
        task_id="read",
        conversation_id="{{ ti.xcom_pull(task_ids='create', key='conversation_id') }}",
        verbose=True,
    )
    wait >> read

with DAG(
    dag_id="example_tavus_forget",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "tavus"],
    doc_md=__doc__,
) as forget:
    old: Any = ListConversationsOperator(
        task_id="old",
        status="ended",
        # With the mark that CreateConversationOperator puts behind a name: one that somebody gave by hand has none.
        conversation_name="Example interview * [airflow *]",
        created_before="{{ dag_run.start_date - macros.timedelta(days=30) }}",
    )
    DeleteConversationOperator(task_id="delete", conversation_id=old.output, hard=True)
