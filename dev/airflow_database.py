"""What Airflow's own database says, read without disturbing it: the same for every supported Airflow."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class AirflowDatabase:
    """Airflow's SQLite file, opened read-only for each question."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=60)) as file:
            return file.execute(query, values).fetchall()

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        found = self.rows("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return found[0][0] if found else None

    def runs(self, dag_id: str) -> list[str]:
        """The ids of a DAG's runs, oldest first."""
        return [run_id for (run_id,) in self.rows("SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id", dag_id)]

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        query = "SELECT try_number FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?"
        return int(self.rows(query, dag_id, run_id, task_id)[0][0])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each task; that of a mapped one under a name such as `wait[0]`."""
        instances = "SELECT task_id, map_index, state FROM task_instance"
        found = self.rows(f"{instances} WHERE dag_id = ? AND run_id = ? ORDER BY 1, 2", dag_id, run_id)
        return {instance_name(task_id, map_index): state for task_id, map_index, state in found}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int) -> Any:
        found = self.rows(
            "SELECT value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = ? AND map_index = ?",
            *(dag_id, run_id, task_id, key, map_index),
        )
        if not found:
            raise LookupError(f"No XCom {key} of {dag_id}.{instance_name(task_id, map_index)} in run {run_id}")
        return json.loads(found[0][0])


def instance_name(task_id: str, map_index: int = -1) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"
