"""The pytest plugin, in runs of pytest of their own: a run has to load it before it meets a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

ITS_OWN_TESTS = """
import json
import os

import pytest
import requests

from airflow_provider_tavus.testing import ManualClock, RealClock


@pytest.fixture
def environment_afterwards():
    yield
    assert not [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]


def test_the_default_connection_leads_to_a_box(environment_afterwards, tavus_box):
    connection = json.loads(os.environ["AIRFLOW_CONN_TAVUS_DEFAULT"])
    assert connection["conn_type"] == "tavus"
    headers = {"x-api-key": connection["password"]}
    answer = requests.get(f"{connection['host']}/v2/conversations", headers=headers, timeout=5)
    assert answer.json() == {"data": [], "total_count": 0}
    assert tavus_box.count("list") == 1
    assert isinstance(tavus_box.clock, ManualClock)


@pytest.mark.tavus_box(clock="real", speed=60, conn_id="tavus_other", seed=3, scene="demo", credits=0)
def test_the_marker_says_how_the_box_starts(environment_afterwards, tavus_box):
    assert isinstance(tavus_box.clock, RealClock)
    assert (tavus_box.clock.speed, tavus_box.seed, tavus_box.account.credits) == (60, 3, 0)
    assert tavus_box.base_url in os.environ["AIRFLOW_CONN_TAVUS_OTHER"]
    assert "cdemo0001" in tavus_box.world


@pytest.mark.tavus_box("demo")
def test_a_scene_without_its_name_is_refused(request):
    with pytest.raises(TypeError, match="positional"):
        request.getfixturevalue("tavus_box")


@pytest.mark.tavus_box(speed=60)
def test_a_speed_of_a_clock_that_is_moved_by_hand_is_refused(request):
    with pytest.raises(ValueError, match="a speed needs clock='real'"):
        request.getfixturevalue("tavus_box")
"""

AN_HOUR_BY_HAND = """
import threading
import time

from airflow_provider_tavus.testing import Script
from example_tavus_wait_then_read import dag


def test_an_hour_is_waited_for_in_seconds(tavus_box):
    tavus_box.add(Script.finished(seconds=3600), conversation_id="cdemo0001")

    def move_the_clock():
        while tavus_box.count("get") == 0:
            time.sleep(0.01)
        tavus_box.advance(3600 + 1)

    threading.Thread(target=move_the_clock).start()
    run = dag.test()

    reads = tavus_box.requests_of("get")
    assert run.state == "success"
    assert reads[-1].box_time - reads[0].box_time >= 3600
    assert reads[-1].monotonic - reads[0].monotonic < 5
"""

A_DATABASE = """
from airflow.utils.db import initdb

initdb()
"""


def pytest_in(directory: Path, **environment: str) -> str:
    """Run pytest with the plugin on the files of a directory, and return what it says."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "airflow_provider_tavus.testing.plugin"]
    done = subprocess.run(
        [*command, "--rootdir", str(directory), "-c", os.devnull, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def documented_example() -> str:
    """Return the first Python example of the page about testing."""
    page = (ROOT / "docs" / "testing.md").read_text()
    return page.split("```python\n", 1)[1].split("```", 1)[0]


def test_the_fixture_and_its_marker_start_a_box_and_lead_a_connection_to_it(tmp_path: Path) -> None:
    (tmp_path / "test_its_own.py").write_text(ITS_OWN_TESTS)

    assert "4 passed" in pytest_in(tmp_path)


def test_the_documented_example_is_short() -> None:
    assert len(documented_example().strip().splitlines()) < 20


@pytest.mark.long
def test_the_documented_example_and_an_hour_by_hand_run_through_a_whole_dag(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(A_DATABASE)
    # Airflow 3.0 does not make its home by itself.
    (tmp_path / "airflow").mkdir()
    (tmp_path / "test_documented.py").write_text(documented_example())
    (tmp_path / "test_hour.py").write_text(AN_HOUR_BY_HAND)

    told = pytest_in(
        tmp_path,
        AIRFLOW_HOME=str(tmp_path / "airflow"),
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "example_dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "example_dags")]),
    )

    assert "2 passed" in told


def test_a_run_that_does_not_use_the_plugin_pays_nothing_for_it() -> None:
    heavy = "{'aiohttp', 'airflow', 'pydantic', 'requests'}"
    look = f"import sys, airflow_provider_tavus.testing.plugin; print({heavy} & {{*sys.modules}})"

    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "set()\n"


def test_whatever_the_package_offers_can_be_imported() -> None:
    import airflow_provider_tavus.testing as testing

    assert all(hasattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Sandbox'"):
        testing.Sandbox  # noqa: B018
