"""A wait that every Airflow can do without a provider: it shows that the harness itself works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator

temporal = import_module(
    "airflow.providers.standard.triggers.temporal" if find_spec("airflow.sdk") else "airflow.triggers.temporal"
)


class DeferForAMoment(BaseOperator):
    """Defer, and once resumed hand on what the wait was given."""

    template_fields = ("seconds",)

    def __init__(self, *, seconds: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context: Any) -> None:
        """Hand the wait over to the triggerer."""
        moment = datetime.now(UTC) + timedelta(seconds=float(self.seconds))
        self.defer(trigger=temporal.DateTimeTrigger(moment=moment), method_name="resumed")

    def resumed(self, context: Any, event: Any) -> dict[str, Any]:
        """Return something of every JSON type."""
        return {"waited": float(self.seconds), "words": ["plain", '"quoted"'], "nothing": None, "done": True}


with DAG(dag_id="defers_for_a_moment", start_date=datetime(2025, 1, 1, tzinfo=UTC), schedule=None):
    DeferForAMoment(task_id="wait", seconds="{{ dag_run.conf.get('seconds', 3) }}")
