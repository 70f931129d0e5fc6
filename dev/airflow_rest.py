"""The few calls of Airflow's REST API that the harness makes: v2 of Airflow 3, v1 of Airflow 2."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

PATIENCE = 180
"""Seconds that an answer may take: Airflow waits its turn to write to SQLite for a minute, and may write twice."""


class AirflowRest:
    """Airflow's REST API at an address that asks for no login."""

    def __init__(self, address: str, *, major: int) -> None:
        self.major = major
        self._address = address
        self._base = f"{address}/api/v{2 if major >= 3 else 1}"
        self._token: str | None = None

    def health(self) -> dict[str, str | None]:
        """The state of each component that this Airflow reports on."""
        report = self._call("GET", "/monitor/health" if self.major >= 3 else "/health")
        return {name: (component or {}).get("status") for name, component in report.items()}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None) -> str:
        """Start a run, and return its id."""
        # Airflow 3 wants to be told that the run stands for no moment; Airflow 2 does not know such runs.
        logical_date = {"logical_date": None} if self.major >= 3 else {}
        run = self._call("POST", f"/dags/{dag_id}/dagRuns", {"conf": conf or {}, **logical_date})
        return str(run["dag_run_id"])

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def pause(self, dag_id: str) -> None:
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": True})

    def clear(self, dag_id: str, run_id: str, task_ids: list[str] | None) -> int:
        """Have tasks of a run done again, these or all, and return how many they are."""
        asked: dict[str, Any] = {
            "dag_run_id": run_id,
            "dry_run": False,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        if task_ids is not None:
            asked["task_ids"] = task_ids
        return len(self._call("POST", f"/dags/{dag_id}/clearTaskInstances", asked)["task_instances"])

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task failed, as somebody does on Airflow's pages."""
        # Airflow 2 would only say what it would do.
        in_earnest = {} if self.major >= 3 else {"dry_run": False}
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._call("PATCH", path, {"new_state": "failed", **in_earnest})

    def import_errors(self) -> dict[str, str]:
        """The stack trace of each DAG file that cannot be imported, by file name."""
        report = self._call("GET", "/importErrors")
        return {error["filename"]: error["stack_trace"] for error in report["import_errors"]}

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        """The extra links of a task, by name."""
        links = self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links")
        return dict(links["extra_links"] if self.major >= 3 else links)

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """The events of assets that the runs of a DAG have emitted, a hundred at most."""
        name = "asset" if self.major >= 3 else "dataset"
        events: list[dict[str, Any]] = self._call("GET", f"/{name}s/events?source_dag_id={dag_id}")[f"{name}_events"]
        return events

    def json(self, path: str) -> Any:
        """What the web server says at a path of its own, such as one that only its pages ask for."""
        return self._authorised("GET", self._address + path)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._authorised(method, self._base + path, body)

    def _authorised(self, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
        try:
            return self._send(method, url, body)
        except urllib.error.HTTPError as refusal:
            if refusal.code != 401 or self._token is not None:
                raise
        # With "all are admins" some Airflows ask for no token, and the others give one to whoever asks.
        self._token = self._send("GET", f"{self._address}/auth/token")["access_token"]
        return self._send(method, url, body)

    def _send(self, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(url, method=method, headers={"Accept": "application/json"})
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            refusal.add_note(f"{method} {url}: {refusal.read(2000).decode(errors='replace')}")
            raise
