"""What is published: built from this tree as a user of it would get it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from airflow_provider_tavus import __version__

if TYPE_CHECKING:
    from email.message import Message

PROJECT = Path(__file__).resolve().parent.parent.parent
TAG = f"airflow_provider_tavus-{__version__}"

pytest.importorskip("build", reason="built in the environment of `make test` alone: it does not depend on Airflow")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(distributions / f"{TAG}-py3-none-any.whl")


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"{TAG}.dist-info/METADATA"))


def test_the_wheel_holds_the_package_with_its_types_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names} == {"airflow_provider_tavus", f"{TAG}.dist-info"}
    assert "airflow_provider_tavus/py.typed" in names
    modules = {str(file.relative_to(PROJECT)) for file in (PROJECT / "airflow_provider_tavus").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_the_source_distribution_holds_what_its_tests_need(distributions: Path) -> None:
    with tarfile.open(distributions / f"{TAG}.tar.gz") as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "airflow_provider_tavus/py.typed"} <= files
    assert not {file for file in files if file.startswith((".venv", ".matrix", ".demo", ".ci"))}


def test_no_dependency_has_an_upper_bound(metadata: Message) -> None:
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    assert "apache-airflow" in {requirement.name for requirement in requirements}
    for requirement in requirements:
        assert {specifier.operator for specifier in requirement.specifier} == {">="}, str(requirement)
    assert metadata["Requires-Python"] == ">=3.11"


def test_airflow_finds_the_provider_in_an_installed_wheel(wheel: zipfile.ZipFile) -> None:
    entry_points = wheel.read(f"{TAG}.dist-info/entry_points.txt").decode()
    assert "[apache_airflow_provider]" in entry_points
    assert "airflow_provider_tavus.get_provider_info:get_provider_info" in entry_points


def test_links_to_the_project_are_declared_where_they_are_published(metadata: Message) -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"].get("urls", {})
    published = dict(text.split(", ", 1) for text in metadata.get_all("Project-URL", []))
    assert published == declared
    assert not declared or "Documentation" in declared, "Airflow links to this one"


def test_what_people_read_first_is_there(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Summary"]
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier", [])
