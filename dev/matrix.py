"""
Runs the tests on every supported Airflow and every Python at hand: `make matrix`.

Each older Airflow is tried on the oldest Python at hand, and each further Python with the newest Airflow: what
breaks on one Airflow and one Python alone has not been seen yet, and the whole table would take an hour more.
Left out are tests marked `long`, which `make long` runs on the newest Airflow.
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
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_releases import MAIN_RELEASE, RELEASES, AirflowRelease
from environment import PROJECT
from pythons import pythons_at_hand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENVIRONMENTS = PROJECT / ".matrix"
LIMIT = 20 * 60
"""Seconds after which a cell counts as failed."""
HEADING = "airflow  python  passed  failed  skipped  seconds"


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

    @property
    def log(self) -> Path:
        return ENVIRONMENTS / f"{self.name}.log"

    @property
    def row(self) -> str:
        """Its line in the table."""
        version = ".".join(map(str, self.python_version))
        numbers = [self.counts[outcome] for outcome in ("passed", "failed", "skipped")]
        counted = f"{numbers[0]:>6}  {numbers[1]:>6}  {numbers[2]:>7}"
        return f"{self.airflow.version:<9}{version:<8}{counted}  {self.seconds:>7.0f}  {self.outcome}"

    def run(self, pytest_arguments: Sequence[str]) -> None:
        """Make the environment if need be, and run the tests in it."""
        began = time.monotonic()
        self.log.write_text("")
        self.outcome = self._set_up() or self._test(pytest_arguments)
        self.seconds = time.monotonic() - began

    def _set_up(self) -> str | None:
        command = [sys.executable, str(PROJECT / "dev" / "environment.py"), str(ENVIRONMENTS / self.name)]
        command += ["--airflow", self.airflow.minor, "--python", str(self.python)]
        command += ["--group", "test", "--group", "database"]
        return None if to_its_end(command, log=self.log) == 0 else "no set-up"

    def _test(self, pytest_arguments: Sequence[str]) -> str:
        self.report.unlink(missing_ok=True)
        command = [str(ENVIRONMENTS / self.name / "bin" / "python"), "-m", "pytest", "-q", "-m", "not (long or alone)"]
        # More workers than cores: while the tests of a real Airflow wait, the others go on. Not more yet: many tests
        # are about what happens in a time.
        command += ["-n", "3", "-p", "no:cacheprovider", f"--junit-xml={self.report}", *pytest_arguments]
        exit_code = to_its_end(command, log=self.log)
        if self.report.exists():
            self.counts = counts_of(self.report)
        if exit_code is None:
            return "interrupted" if Interrupt.asked_for else "too slow"
        return "passed" if exit_code == 0 else "FAILED"


class Interrupt:
    """Whether all that runs is to end now, for every thread to see."""

    asked_for = False


def to_its_end(command: Sequence[str], *, log: Path) -> int | None:
    """
    Run a command and return its exit code, or None if it had to be ended.

    It is told to terminate before it is killed, so that the Airflow of its tests ends as well.
    """
    give_up = time.monotonic() + LIMIT
    with log.open("a") as output:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while process.poll() is None and time.monotonic() < give_up and not Interrupt.asked_for:
        time.sleep(0.1)
    exit_code = process.poll()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
    return exit_code


def counts_of(report: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped, by the report of pytest."""
    counts: Counter[str] = Counter()
    for suite in ET.parse(report).iter("testsuite"):
        said = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        failed = said["failures"] + said["errors"]
        counts.update(failed=failed, skipped=said["skipped"], passed=said["tests"] - failed - said["skipped"])
    return counts


def run_all(cells: Sequence[Cell], jobs: int, pytest_arguments: Sequence[str]) -> None:
    """Run the cells, so many at a time, and tell of each as soon as it has ended."""
    with ThreadPoolExecutor(jobs) as threads:
        running = {threads.submit(cell.run, pytest_arguments): cell for cell in cells}
        try:
            for ended in as_completed(running):
                ended.result()
                cell = running[ended]
                if cell.outcome != "passed":
                    print("".join(cell.log.read_text(errors="replace").splitlines(keepends=True)[-200:]))
                print(cell.row, flush=True)
        except KeyboardInterrupt:
            Interrupt.asked_for = True
            threads.shutdown(cancel_futures=True)
            raise


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    minors = [release.minor for release in RELEASES]
    arguments.add_argument("--airflow", action="append", choices=minors, help="this one only; may be repeated")
    arguments.add_argument("--python", action="append", help="this one only, such as 3.12; may be repeated")
    arguments.add_argument(
        "--without-main", action="store_true", help="leave out what `make test` runs: the newest Airflow on this Python"
    )
    arguments.add_argument("--jobs", type=int, default=1, help="how many at a time")
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
    ENVIRONMENTS.mkdir(exist_ok=True)
    print(f"{len(cells)} times the tests, {asked.jobs} at a time; what they say is in {ENVIRONMENTS.name}/*.log")
    print(HEADING, flush=True)
    try:
        run_all(cells, asked.jobs, asked.pytest_arguments)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
    print("\n".join(["", HEADING, *(cell.row for cell in cells)]))
    return 0 if cells and all(cell.outcome == "passed" for cell in cells) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
