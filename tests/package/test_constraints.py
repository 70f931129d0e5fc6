"""The constraint files pin everything, and hold wherever packages are installed from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow_releases import CONSTRAINTS, MAIN_RELEASE, RELEASES, S3_CONSTRAINTS, AirflowRelease
from environment import requirements_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).resolve().parent.parent.parent
GROUPS = ("test", "lint", "contract", "package", "setup")
FILES = [release.constraints for release in RELEASES] + [S3_CONSTRAINTS]
ASKED_FOR: list[tuple[AirflowRelease, Path, Sequence[str]]] = [
    (release, release.constraints, GROUPS) for release in RELEASES
]
ASKED_FOR += [(MAIN_RELEASE, S3_CONSTRAINTS, ("test", "s3", "setup"))]


def pins(constraints: Path) -> Iterator[Requirement]:
    return map(Requirement, constraints.read_text().splitlines())


def asked_for(groups: Sequence[str]) -> list[Requirement]:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return [*map(Requirement, declared["project"]["dependencies"]), *map(Requirement, requirements_of(groups))]


def test_there_is_one_for_each_supported_airflow_and_one_for_a_server_of_s3() -> None:
    assert set(CONSTRAINTS.iterdir()) == set(FILES)


@pytest.mark.parametrize(("release", "constraints", "groups"), ASKED_FOR, ids=[each.stem for each in FILES])
def test_all_that_is_asked_for_is_pinned_within_what_is_asked_for(
    release: AirflowRelease, constraints: Path, groups: Sequence[str]
) -> None:
    pinned: dict[str, list[Requirement]] = {}
    for pin in pins(constraints):
        pinned.setdefault(canonicalize_name(pin.name), []).append(pin)
    for wanted in asked_for(groups):
        for pin in pinned[canonicalize_name(wanted.name)]:
            assert wanted.specifier.contains(next(iter(pin.specifier)).version), f"{wanted} is pinned to {pin}"
    assert {str(pin.specifier) for pin in pinned["apache-airflow"]} == {f"=={release.version}"}


@pytest.mark.parametrize("constraints", FILES, ids=lambda constraints: constraints.stem)
def test_they_name_packages_versions_and_markers_only(constraints: Path) -> None:
    for line in constraints.read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[a-z0-9.!+]+( ; .+)?", line), line
        assert "://" not in line
        assert " @ " not in line
