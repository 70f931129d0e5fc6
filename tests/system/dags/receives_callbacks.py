"""A wait that looks so rarely that only a callback can end it in time, for the system tests."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator

START = datetime(2025, 1, 1, tzinfo=UTC)

if AIRFLOW_V_3_3_PLUS:
    # What came is kept in the state store of the asset that the examples watch.
    with DAG(dag_id="receives_callbacks", start_date=START, schedule=None):
        CreateConversationOperator(
            task_id="create",
            pal_id="{{ dag_run.conf['pal_id'] }}",
            receive_callbacks=True,
            wait_for_completion=True,
            poke_interval=3600,
            timeout=7200,
            deferrable=True,
        )
