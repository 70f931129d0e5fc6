"""
Gate a downstream DAG: it runs when a conversation's transcript is there.

The first DAG waits, without ever failing over a call that yields no transcript; the second one runs on the
asset that the first one updates, and learns from its event which conversation it is about.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Metadata, Param, task

from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor

TRANSCRIPTS = Asset("tavus-transcripts")

with DAG(
    dag_id="example_tavus_gate",
    schedule=None,
    params={"conversation_id": Param("cdemo0001", type="string", description="The conversation to wait for.")},
    tags=["example", "tavus"],
    doc_md=__doc__,
) as gate:
    wait = ConversationSensor(
        task_id="wait",
        conversation_id="{{ params.conversation_id }}",
        on_missing="skip",
        poke_interval=2,
        timeout=60 * 60,
        deferrable=True,
    )

    @task(outlets=[TRANSCRIPTS])
    def announce(verdict: Any) -> Any:
        yield Metadata(TRANSCRIPTS, {"conversation_id": verdict["conversation_id"]})

    announce(wait.output)

with DAG(
    dag_id="example_tavus_gated",
    schedule=[TRANSCRIPTS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    tags=["example", "tavus"],
    doc_md=__doc__,
) as gated:

    @task
    def announced(**context: Any) -> list[str]:
        # Airflow 2 says "dataset" where Airflow 3 says "asset".
        updates = context.get("triggering_asset_events") or context["triggering_dataset_events"]
        return [event.extra["conversation_id"] for events in updates.values() for event in events]

    GetConversationOperator.partial(task_id="read", verbose=True).expand(conversation_id=announced())
