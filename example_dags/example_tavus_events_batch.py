"""
A batch per quarter of an hour: all conversations whose transcripts have come since the last one (Airflow 3.0 or later).

The batches go by the clock and read the events of the asset themselves: what came while the DAG was paused, or failed,
is in the next batch that succeeds.
"""

from __future__ import annotations

import importlib.util
from datetime import datetime, timedelta
from typing import Any

# Airflow 2 has no asset watchers: there, this file has no DAGs.
if importlib.util.find_spec("airflow.sdk"):
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, Asset, AssetWatcher, task
    from airflow.timetables.interval import CronDataIntervalTimetable

    from airflow_provider_tavus.hooks.tavus import TavusHook
    from airflow_provider_tavus.triggers.event import ConversationEventTrigger

    # The same watchers in every file that has the asset: Airflow goes by the file that it has read last.
    CONVERSATIONS = Asset(
        "tavus_conversations",
        watchers=[AssetWatcher(name="tavus_default", trigger=ConversationEventTrigger(poll_interval=60))],
    )
    STORED = timedelta(minutes=1)
    """An event that bears an older time has been stored for sure."""

    # Airflow watches for as long as a DAG that is not paused is scheduled on the asset. This one costs no worker.
    with DAG(
        dag_id="example_tavus_events_watched",
        schedule=[CONVERSATIONS],
        start_date=datetime(2026, 1, 1),
        tags=["example", "tavus"],
        doc_md=__doc__,
    ) as watched:
        EmptyOperator(task_id="watched")

    with DAG(
        dag_id="example_tavus_events_batch",
        schedule=CronDataIntervalTimetable("*/15 * * * *", timezone="UTC"),
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["example", "tavus"],
        doc_md=__doc__,
    ) as batch:

        @task(inlets=[CONVERSATIONS])
        def new_conversations(
            inlet_events: Any = None,
            prev_data_interval_end_success: Any = None,
            data_interval_end: Any = None,
        ) -> list[str]:
            since, until = prev_data_interval_end_success, data_interval_end - STORED
            events = inlet_events[CONVERSATIONS]
            if since and hasattr(events, "after"):  # Airflow 3.0 gives all events at once
                events = events.after((since - STORED).isoformat())
            return [
                event.extra["payload"]["conversation_id"]
                for event in events
                if (not since or event.timestamp >= since - STORED) and event.timestamp < until
                # One that somebody makes by hand, in Airflow's UI, has none.
                if "payload" in event.extra
            ]

        @task
        def count_turns(conversation_ids: Any) -> int:
            from airflow_provider_tavus.api.errors import UnknownConversationError
            from airflow_provider_tavus.conversations.plain import as_plain

            hook, turns = TavusHook(), 0
            for one in conversation_ids:
                try:
                    turns += len(as_plain(hook.get_conversation(one, verbose=True))["transcript"] or ())
                except UnknownConversationError:
                    # Deleted meanwhile. To fail of it, this batch and all after it, would not bring it back.
                    continue
            return turns

        count_turns(new_conversations())
