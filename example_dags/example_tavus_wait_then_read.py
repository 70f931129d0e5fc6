"""Wait for a conversation's transcript, then read it."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor

with DAG(
    dag_id="example_tavus_wait_then_read",
    schedule=None,
    params={"conversation_id": Param("cdemo0001", type="string", description="The conversation to wait for.")},
    tags=["example", "tavus"],
    doc_md=__doc__,
) as dag:
    wait = ConversationSensor(
        task_id="wait",
        conversation_id="{{ params.conversation_id }}",
        poke_interval=2,
        timeout=60 * 60,
        deferrable=True,
    )
    read = GetConversationOperator(task_id="read", conversation_id="{{ params.conversation_id }}", verbose=True)

    @task
    def summarise(ti: Any = None) -> dict[str, Any]:
        # Pulled here and not passed as an argument: Airflow stores and shows the arguments of a task.
        conversation = ti.xcom_pull(task_ids="read")
        turns = [turn for turn in conversation["transcript"] or [] if turn["role"] in {"user", "assistant"}]
        return {"conversation_id": conversation["conversation_id"], "turns": len(turns)}

    wait >> read >> summarise()
