"""
One DAG run for each conversation, as soon as its transcript is there (Airflow 3.0 or later).

Airflow gives the events that wait together to one run: the first DAG starts a run of the second for each of them. The
runs are named after the conversations, so that whatever is done again starts none twice.
"""

from __future__ import annotations

import importlib.util
from datetime import datetime
from typing import Any

# Airflow 2 has no asset watchers: there, this file has no DAGs.
if importlib.util.find_spec("airflow.sdk"):
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
    from airflow.sdk import DAG, Asset, AssetWatcher, task

    from airflow_provider_tavus.operators.conversation import GetConversationOperator
    from airflow_provider_tavus.triggers.event import ConversationEventTrigger

    CONVERSATIONS = Asset(
        "tavus_conversations",
        watchers=[AssetWatcher(name="tavus_default", trigger=ConversationEventTrigger(poll_interval=60))],
    )

    with DAG(
        dag_id="example_tavus_events",
        schedule=[CONVERSATIONS],
        start_date=datetime(2026, 1, 1),
        tags=["example", "tavus"],
        doc_md=__doc__,
    ) as events:

        @task
        def runs(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
            events = triggering_asset_events[CONVERSATIONS]
            # One that somebody makes by hand, in Airflow's UI, has none.
            new = [event.extra["payload"] for event in events if "payload" in event.extra]
            return [{"trigger_run_id": f"tavus__{each['conversation_id']}", "conf": each} for each in new]

        TriggerDagRunOperator.partial(
            task_id="start",
            trigger_dag_id="example_tavus_each_conversation",
            # Not the time: two runs of one moment would be taken for the same.
            logical_date=None,
            skip_when_already_exists=True,
        ).expand_kwargs(runs())

    with DAG(
        dag_id="example_tavus_each_conversation",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        tags=["example", "tavus"],
        doc_md=__doc__,
    ) as each_conversation:
        GetConversationOperator(task_id="read", conversation_id="{{ dag_run.conf['conversation_id'] }}", verbose=True)
