"""When a wait began, whatever has happened to its task since."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def first_started_at(context: Context) -> float:
    """Return the epoch seconds at which this wait first started, before it was rescheduled or retried."""
    ti = context.get("ti")
    first_reschedule = getattr(ti, "get_first_reschedule_date", lambda _: None)(context)
    started = first_reschedule or getattr(ti, "start_date", None)
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
