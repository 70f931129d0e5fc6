"""Runs of twenty waits each, none of which needs a worker before it is over."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tavus.sensors.conversation import ConversationSensor

with DAG(
    dag_id="waits_for_twenty",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    schedule=None,
    max_active_runs=1000,
    max_active_tasks=1000,
):
    for place in range(20):
        ConversationSensor(
            task_id=f"wait_{place}",
            conversation_id=f"{{{{ dag_run.conf['conversation_ids'][{place}] }}}}",
            deferrable=True,
            start_from_trigger=True,
            poke_interval=5,
            timeout=1800,
        )
