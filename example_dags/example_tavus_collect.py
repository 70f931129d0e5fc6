"""Collect every conversation into a folder or bucket, every 15 minutes, and ask the Parquet files a question."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator

DESTINATION = "{{ var.value.get('tavus_destination', 'file:///data/tavus') }}"

with DAG(
    dag_id="example_tavus_collect",
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["example", "tavus"],
    doc_md=__doc__,
) as dag:
    collect = CollectConversationsOperator(
        task_id="collect",
        destination=DESTINATION,
        formats=["jsonl", "parquet"],
        # What the prompt says, and where the room is, is nobody's business here.
        system_turns=False,
        leave_out=["conversation_url", "callback_url"],
    )

    @task
    def talk_by_day(destination: str) -> list[dict[str, Any]]:
        # For files; for a bucket, tell DuckDB how to reach it (https://duckdb.org/docs/stable/core_extensions/httpfs).
        import duckdb

        files = f"{destination.removeprefix('file://')}/conversations/*/*.parquet"
        found = duckdb.execute(
            """
            SELECT created AS day, count(*) AS calls, round(sum(user_talk_seconds)) AS user_talk_seconds
            FROM read_parquet(?, hive_partitioning = true, hive_types = {'created': VARCHAR})
            GROUP BY day ORDER BY day
            """,
            [files],
        )
        columns = [column[0] for column in found.description]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    collect >> talk_by_day(DESTINATION)
