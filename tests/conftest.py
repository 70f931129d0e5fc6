"""Airflow for all tests: its own home, no examples, and set before anything imports it."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

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

TO_ONE_WORKER = {
    # Some Airflows, each for a part of the time that all system tests take: one alone would be the last to end.
    "tests/system/": "an Airflow",
    "tests/system/test_collects.py": "another Airflow",
    "tests/system/test_creates.py": "another Airflow",
    "tests/system/test_documents.py": "another Airflow",
    "tests/system/test_examples.py": "another Airflow",
    # What these build or start, they have once.
    "tests/package/test_distribution.py": "the distributions",
    "tests/unit/callbacks/test_receiver": "a receiver of callbacks",
    "tests/unit/testing/test_box_with_tavus_cli.py": "the vendor's client",
}
"""Tests that share something costly, by the beginning of their ids: the longest that fits counts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let it be chosen how many there are in the tests of many: a wait costs a third of a second in the end."""
    parser.addoption("--waits", type=int, default=100, help="how many waits the test of many waits has")
    parser.addoption("--conversations", type=int, default=500, help="how many end in the test of many events")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let a run that is told to terminate end what its workers have started, and give them the time they need."""
    from xdist.workermanage import NodeManager

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    NodeManager.EXIT_TIMEOUT = 30


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Let `-n auto` run more tests at a time than there are cores: most of them wait most of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Give tests that share something costly to one worker, and any other to the next that is free."""
    from xdist.scheduler import LoadScopeScheduling

    class SharedThings(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            fitting = [beginning for beginning in TO_ONE_WORKER if nodeid.startswith(beginning)]
            return TO_ONE_WORKER[max(fitting, key=len)] if fitting else nodeid

    return SharedThings(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse two tests with one id: of those, only one would run where several workers share the tests."""
    times = Counter(item.nodeid for item in session.items)
    if twice := [nodeid for nodeid, count in times.items() if count > 1]:
        raise pytest.UsageError(f"More than one test is called {', '.join(twice)}.")
