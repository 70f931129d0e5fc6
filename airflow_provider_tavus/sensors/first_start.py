"""When a wait began, whatever has happened to its task since."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context


def first_started_at(context: Context) -> float:
    """Return the epoch seconds at which this wait first started, before it was rescheduled or retried."""
    ti = context.get("ti")
    started = _started_before_it_was_rescheduled(context) or getattr(ti, "start_date", None)
    started_at = started.timestamp() if started else time.time()
    # Airflow 3.3 and later; before, a retry starts the time-out anew.
    store = context.get("task_state_store")
    if store is None or ti is None:
        return started_at
    # Clearing a task raises max_tries, and what follows is a new wait.
    key = f"wait_started_at/{ti.max_tries}"
    kept = store.get(key)
    if isinstance(kept, int | float):
        return float(kept)
    store.set(key, started_at)
    return started_at


def _started_before_it_was_rescheduled(context: Context) -> datetime | None:
    ti: Any = context.get("ti")
    started: datetime | None = None
    if hasattr(ti, "get_first_reschedule_date"):
        started = ti.get_first_reschedule_date(context)
    elif getattr(context.get("task"), "reschedule", False):
        # Airflow 2 gives a task a new start_date each time; its own sensors ask for the first one like this.
        started = import_module("airflow.sensors.base")._orig_start_date(
            dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index, try_number=ti.try_number
        )
    return started
