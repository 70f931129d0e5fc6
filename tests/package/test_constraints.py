"""The constraint files pin everything, and hold wherever packages are installed from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow_releases import CONSTRAINTS, RELEASES, AirflowRelease
from environment import requirements_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parent.parent.parent
GROUPS = ("test", "lint", "contract", "package", "setup")


def pins(release: AirflowRelease) -> Iterator[Requirement]:
    return map(Requirement, release.constraints.read_text().splitlines())


def asked_for() -> list[Requirement]:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return [*map(Requirement, declared["project"]["dependencies"]), *map(Requirement, requirements_of(GROUPS))]


def test_there_is_one_for_each_supported_airflow() -> None:
    assert {file.stem.removeprefix("airflow-") for file in CONSTRAINTS.iterdir()} == {r.minor for r in RELEASES}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.minor)
def test_all_that_is_asked_for_is_pinned_within_what_is_asked_for(release: AirflowRelease) -> None:
    pinned: dict[str, list[Requirement]] = {}
    for pin in pins(release):
        pinned.setdefault(canonicalize_name(pin.name), []).append(pin)
    for wanted in asked_for():
        for pin in pinned[canonicalize_name(wanted.name)]:
            assert wanted.specifier.contains(next(iter(pin.specifier)).version), f"{wanted} is pinned to {pin}"
    assert {str(pin.specifier) for pin in pinned["apache-airflow"]} == {f"=={release.version}"}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.minor)
def test_they_name_packages_versions_and_markers_only(release: AirflowRelease) -> None:
    for line in release.constraints.read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[a-z0-9.!+]+( ; .+)?", line), line
        assert "://" not in line
        assert " @ " not in line
