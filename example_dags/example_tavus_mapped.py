"""Wait for many conversations at once, then read each of those that got a transcript in a task of its own."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor

with DAG(
    dag_id="example_tavus_mapped",
    schedule=None,
    params={"conversation_ids": Param(["cdemo0001"], type="array", description="The conversations to wait for.")},
    render_template_as_native_obj=True,
    tags=["example", "tavus"],
    doc_md=__doc__,
) as dag:
    wait = ConversationSensor(
        task_id="wait",
        conversation_id="{{ params.conversation_ids }}",
        on_missing="succeed",
        poke_interval=2,
        timeout=60 * 60,
        deferrable=True,
    )

    @task
    def with_transcript(verdicts: Any) -> list[str]:
        return [verdict["conversation_id"] for verdict in verdicts if verdict["state"] == "ready"]

    GetConversationOperator.partial(task_id="read", verbose=True).expand(conversation_id=with_transcript(wait.output))
