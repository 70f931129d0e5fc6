"""Airflow for all tests: its own home, no examples, and set before anything imports it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# A noisy machine is no failing test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": AIRFLOW_HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # Without it, Airflow 3 warns whenever a test calls execute() itself.
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
