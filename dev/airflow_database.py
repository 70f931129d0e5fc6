"""What Airflow's own database says, read without disturbing it: the same for every supported Airflow."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from database_servers import postgresql, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from database_servers import Server


class AirflowDatabase:
    """Airflow's SQLite file, opened read-only for each question."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=60)) as file:
            return file.execute(query, values).fetchall()

    def tables(self) -> list[str]:
        """The names of all tables."""
        return [name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]

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


class AirflowPostgres(AirflowDatabase):
    """Airflow's database on a PostgreSQL server; queries are written as for SQLite."""

    def __init__(self, server: Server) -> None:
        super().__init__(Path())
        self._server = server
        self.url = f"postgresql+psycopg2://{server.user}@127.0.0.1:{server.port}/{server.database}"

    def connect(self) -> Any:
        """A connection that leaves JSON as its text, as SQLite does."""
        # It carries no types.
        psycopg2: Any = importlib.import_module("psycopg2")
        extras: Any = importlib.import_module("psycopg2.extras")

        server = self._server
        connection = psycopg2.connect(host="127.0.0.1", port=server.port, user=server.user, dbname=server.database)
        extras.register_default_json(connection, loads=str)
        extras.register_default_jsonb(connection, loads=str)
        return connection

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(query.replace("?", "%s"), values)
            # Airflow 2 keeps XCom in a column of bytes.
            return [tuple(bytes(one) if isinstance(one, memoryview) else one for one in row) for row in cursor]

    def tables(self) -> list[str]:
        """The names of all tables."""
        return [name for (name,) in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]


@contextlib.contextmanager
def postgres_if_there() -> Iterator[AirflowPostgres | None]:
    """An empty database on a server of its own, where there is one to start, and a driver: None elsewhere.

    For an Airflow with much to do: SQLite has one writer at a time, and may let another wait for a minute.
    """
    if program("postgres") is None or importlib.util.find_spec("psycopg2") is None:
        yield None
        return
    with postgresql(lambda server: AirflowPostgres(server).connect().close()) as server:
        yield AirflowPostgres(server)


def instance_name(task_id: str, map_index: int = -1) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"
