"""Environment variables for an Airflow that is quick, quiet, local and open: for tests and the demo only."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

AIRFLOW_2_WEBSERVER = """\
# Whoever can reach this web server, which listens on the loopback address only, may do everything.
AUTH_ROLE_PUBLIC = "Admin"
"""


def settings(
    *,
    home: Path,
    dag_folder: Path,
    ports: Mapping[str, int],
    connections: Mapping[str, Mapping[str, Any]],
    major: int,
) -> dict[str, str]:
    """What a component of this Airflow has as its environment."""
    chosen = _common(home, dag_folder, ports) | (_airflow_3(ports) if major >= 3 else _airflow_2(ports))
    for conn_id, connection in connections.items():
        chosen[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return own_environment() | chosen


def own_environment() -> dict[str, str]:
    """Our own environment without what was meant for us alone.

    That is the settings of an Airflow that this process uses itself, and those of the test run: one that
    counts its coverage or turns warnings into errors does not mean Airflow's processes.
    """
    ours = {"PYTHONPATH", "PYTHONWARNINGS", "PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS"}
    own = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name and name not in ours}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", os.defpath)])
    return own


def _common(home: Path, dag_folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_folder),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # A process waits its turn to write for so long: two cores and one SQLite file are easily busy.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports["trigger log"]),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports["worker log"]),
        # The scheduler queues a rescheduled task again without having heard that its worker is done, if that comes
        # late, and then fails it: the oftener it looks, the rarer that is.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        # What a killed triggerer watched is taken over once it has been silent for so many seconds.
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
    }


def _airflow_3(ports: Mapping[str, int]) -> dict[str, str]:
    address = f"http://127.0.0.1:{ports['web']}"
    return {
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports["web"]),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
        # A file that changes is parsed at once; parsing the others again and again would take a part of a core.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "900",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # The supervisor of a task that deferred notices its end this late. Airflow 3.0 fails the task if the
        # trigger has fired before that.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def _airflow_2(ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "900",
        "AIRFLOW__WEBSERVER__BASE_URL": f"http://127.0.0.1:{ports['web']}",
        "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(ports["web"]),
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        # Airflow 2 refuses SQLite beside an executor that runs tasks at the same time. Its own one for SQLite
        # stops scheduling while a task runs, so that a sensor in poke mode would hold everything up.
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
    }
