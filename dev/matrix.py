"""
Runs the tests on every supported Airflow and every Python at hand: `make matrix`.

Each older Airflow is tried on the oldest Python at hand, and each further Python with the newest Airflow: what
breaks on one Airflow and one Python alone has not been seen yet, and the whole table would take an hour more.
Left out are tests marked `long`, which `make test` runs on the newest Airflow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_releases import MAIN_RELEASE, RELEASES, AirflowRelease
from environment import PROJECT
from pythons import pythons_at_hand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENVIRONMENTS = PROJECT / ".matrix"
LIMIT = 15 * 60
"""Seconds after which the tests of one cell count as failed."""


@dataclass
class Cell:
    """One Airflow on one Python, and what its tests said."""

    airflow: AirflowRelease
    python_version: tuple[int, int]
    python: Path
    outcome: str = "not run"
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return f"airflow-{self.airflow.minor}-python-{'.'.join(map(str, self.python_version))}"

    @property
    def report(self) -> Path:
        return ENVIRONMENTS / f"{self.name}.xml"

    def run(self, pytest_arguments: Sequence[str]) -> None:
        """Make the environment if need be, and run the tests in it."""
        print(f"\n=== Airflow {self.airflow.version}, Python {'.'.join(map(str, self.python_version))}", flush=True)
        began = time.monotonic()
        self.outcome = self._set_up() or self._test(pytest_arguments)
        self.seconds = time.monotonic() - began

    def _set_up(self) -> str | None:
        command = [sys.executable, str(PROJECT / "dev" / "environment.py"), str(ENVIRONMENTS / self.name)]
        command += ["--airflow", self.airflow.minor, "--python", str(self.python), "--group", "test"]
        return "no set-up" if to_its_end(command, limit=LIMIT) else None

    def _test(self, pytest_arguments: Sequence[str]) -> str:
        self.report.unlink(missing_ok=True)
        command = [str(ENVIRONMENTS / self.name / "bin" / "python"), "-m", "pytest", "-q", "-m", "not long"]
        command += ["-p", "no:cacheprovider", f"--junit-xml={self.report}", *pytest_arguments]
        exit_code = to_its_end(command, limit=LIMIT)
        if self.report.exists():
            self.counts = counts_of(self.report)
        if exit_code is None:
            return "too slow"
        return "passed" if exit_code == 0 else "FAILED"


def to_its_end(command: Sequence[str], *, limit: float) -> int | None:
    """
    Run a command and return its exit code, or None if it had to be ended.

    It is told to terminate before it is killed, so that the Airflow of its tests ends as well.
    """
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)


def counts_of(report: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped, by the report of pytest."""
    counts: Counter[str] = Counter()
    for suite in ET.parse(report).iter("testsuite"):
        said = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        failed = said["failures"] + said["errors"]
        counts.update(failed=failed, skipped=said["skipped"], passed=said["tests"] - failed - said["skipped"])
    return counts


def table(cells: Sequence[Cell]) -> str:
    """What all tests said, a line per cell."""
    lines = ["airflow  python  passed  failed  skipped  seconds"]
    for cell in cells:
        version = ".".join(map(str, cell.python_version))
        numbers = [cell.counts[outcome] for outcome in ("passed", "failed", "skipped")]
        row = f"{cell.airflow.version:<9}{version:<8}{numbers[0]:>6}  {numbers[1]:>6}  {numbers[2]:>7}"
        lines.append(f"{row}  {cell.seconds:>7.0f}  {cell.outcome}")
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    minors = [release.minor for release in RELEASES]
    arguments.add_argument("--airflow", action="append", choices=minors, help="this one only; may be repeated")
    arguments.add_argument("--python", action="append", help="this one only, such as 3.12; may be repeated")
    arguments.add_argument(
        "--without-main", action="store_true", help="leave out what `make test` runs: the newest Airflow on this Python"
    )
    arguments.add_argument("pytest_arguments", nargs="*", help="passed on to pytest, after --")
    asked = arguments.parse_args()
    main_cell = (MAIN_RELEASE, sys.version_info[:2])
    pythons = pythons_at_hand(MAIN_RELEASE.newest_python)
    cells = [
        Cell(airflow, version, python)
        for version, python in pythons.items()
        for airflow in RELEASES
        if version <= airflow.newest_python
        and (airflow is MAIN_RELEASE or version == min(pythons))
        and (not asked.airflow or airflow.minor in asked.airflow)
        and (not asked.python or ".".join(map(str, version)) in asked.python)
        and not (asked.without_main and (airflow, version) == main_cell)
    ]
    try:
        for cell in cells:
            cell.run(asked.pytest_arguments)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
    print("\n" + table(cells))
    return 0 if cells and all(cell.outcome == "passed" for cell in cells) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
