"""Writes the constraint files anew: `make constraints`.

They name packages, versions and markers only, so that they hold wherever packages are installed from.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_releases import MAIN_RELEASE, RELEASES, S3_CONSTRAINTS, AirflowRelease

if TYPE_CHECKING:
    from collections.abc import Iterable

PROJECT = Path(__file__).resolve().parent.parent
# The compat package and what it needs is taken as new as the newest Airflow's constraints have it.
TAKEN_LATER_AS_OF = MAIN_RELEASE.resolved_as_of
GROUPS = ("test", "lint", "contract", "package", "setup")


def pin(release: AirflowRelease, groups: Iterable[str], constraints: Path) -> None:
    """Resolve what the project and some dependency groups need beside an Airflow, and write it down."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", "3.11", "--exclude-newer", release.resolved_as_of]
    for name in release.taken_later:
        command += ["--exclude-newer-package", f"{name}={TAKEN_LATER_AS_OF}"]
    for group in groups:
        command += ["--group", group]
    command += ["--no-annotate", "--no-header", "pyproject.toml", "-"]
    beside = "\n".join([f"apache-airflow=={release.version}", *release.beside])
    resolved = subprocess.run(command, cwd=PROJECT, input=beside, check=True, text=True, stdout=subprocess.PIPE)
    constraints.write_text(resolved.stdout)
    print(f"{constraints.relative_to(PROJECT)}: Airflow {release.version}")


if __name__ == "__main__":
    for each in RELEASES:
        pin(each, GROUPS, each.constraints)
    pin(MAIN_RELEASE, ("test", "s3", "setup"), S3_CONSTRAINTS)
