"""One real Airflow and one fake service, each as processes of its own, for all system tests of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow_database import postgres_if_there
from box_process import BoxProcess
from real_airflow import CALLBACK_TOKENS, RealAirflow
from snippets import write_dags
from statsd_listener import StatsdListener

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "example_dags"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark whatever lies here as a system test, and run it last.

    What is wrong with a part is said before Airflow starts, and no other test shares the machine with Airflow.
    """
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
    items.sort(key=lambda item: item.get_closest_marker("system") is not None)


@pytest.fixture(scope="session")
def running_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxProcess]:
    """The fake service that the connection of the running Airflow leads to."""
    with BoxProcess(tmp_path_factory.mktemp("box") / "box.log", api_key="canary-key-4f1d9c") as box:
        yield box


@pytest.fixture
def box(running_box: BoxProcess) -> Iterator[BoxProcess]:
    """The fake service, without the requests, the troubles and the settings of the test before."""
    running_box.forget_requests()
    yield running_box
    running_box.stop_troubles()
    running_box.steer("PATCH", "account", {"concurrency_limit": None, "on_create": "finished"})


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdListener]:
    """Where the running Airflow sends its metrics."""
    with StatsdListener() as listener:
        yield listener


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, running_box: BoxProcess, statsd: StatsdListener
) -> Iterator[RealAirflow]:
    """A running Airflow with the examples, the DAGs of the system tests and those that the documents show."""
    directory = tmp_path_factory.mktemp("airflow")
    documents = write_dags(tmp_path_factory.mktemp("documents"))
    folders = [folder for folder in (EXAMPLES, HERE / "dags", documents) if folder.is_dir()]
    connections = {
        "tavus_default": running_box.connection,
        "tavus_wrong_key": running_box.connection | {"password": "wrong-canary-key-5e0b"},
    }
    environment = statsd.airflow_settings | {
        "AIRFLOW__TAVUS__CALLBACK_TOKENS": ", ".join(CALLBACK_TOKENS),
        "AIRFLOW_VAR_TAVUS_DESTINATION": f"file://{tmp_path_factory.mktemp('destination')}",
    }
    with (
        postgres_if_there() as database,
        RealAirflow(
            directory, dag_folders=folders, connections=connections, environment=environment, database=database
        ) as running,
    ):
        yield running
