"""Makes a virtual environment with the project in it, or heals one that is half made.

    python dev/environment.py .venv --airflow 3.3 --group lint --group package

Needs nothing but the standard library: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_releases import MAIN_RELEASE, AirflowRelease, release

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = PROJECT / "pyproject.toml"


class Environment:
    """A virtual environment that holds the project, editable, beside one Airflow, pinned."""

    def __init__(
        self, directory: Path, airflow: AirflowRelease, groups: Sequence[str], python: str, constraints: Path | None
    ) -> None:
        self.directory = directory.absolute()
        self.airflow = airflow
        self.requirements = requirements_of(groups)
        self.base_python = python
        self.constraints = constraints or airflow.constraints

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    @property
    def finished(self) -> Path:
        """Written when all is installed, and gone while anything is being changed."""
        return self.directory / "finished"

    def make(self) -> None:
        """Leave the environment complete; what is there already and right is left alone."""
        with PYPROJECT.open() as lock:
            # Two `make` at the same time must not install into each other's half-made environment.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_finished():
                return
            print(f"Setting up {self.directory.name} with Airflow {self.airflow.version} …", file=sys.stderr)
            if self.finished.exists() and self._runs():
                self.finished.unlink()
                try:
                    self._install()
                except subprocess.CalledProcessError:
                    self._make_anew()
            else:
                self._make_anew()
            self.finished.write_text(self._fingerprint())

    def _make_anew(self) -> None:
        # Nobody can tell which files of an interrupted installation are there: it starts from nothing.
        if self.directory.is_dir() and not self.directory.is_symlink():
            shutil.rmtree(self.directory)
        else:
            self.directory.unlink(missing_ok=True)
        run([self.base_python, "-m", "venv", str(self.directory)])
        self._install()

    def _install(self) -> None:
        pins = ["--constraint", str(self.constraints)]
        wanted = [*pins, *self.requirements, *self.airflow.beside, "--editable", str(PROJECT)]
        pip = [str(self.python), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
        uv = self.directory / "bin" / "uv"
        try:
            run([*pip, "--constraint", str(MAIN_RELEASE.constraints), "uv"])
            # An Airflow is many processes: those of one that is not compiled would each compile it for themselves where
            # PYTHONDONTWRITEBYTECODE is set.
            run([str(uv), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(self.python), *wanted])
        except subprocess.CalledProcessError:
            # uv does not read pip's configuration, which may be all that knows where packages come from here.
            print("uv could not install everything: pip goes on, which takes longer …", file=sys.stderr)
            run([*pip, *wanted])

    def _is_finished(self) -> bool:
        try:
            return self.finished.read_text() == self._fingerprint() and self._runs()
        except OSError:
            return False

    def _runs(self) -> bool:
        """Whether its Python still starts, and still finds what the project stands on."""
        check = (
            "import sys; from importlib.util import find_spec; found = map(find_spec, ('airflow', 'pytest', "
            "'airflow_provider_tavus')); sys.exit(not (sys.version_info >= (3, 11) and all(found)))"
        )
        try:
            return subprocess.run([self.python, "-c", check], cwd="/", capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def _fingerprint(self) -> str:
        """Changes whenever something else would have to be installed."""
        asked_for = [
            str(PROJECT),
            *self.requirements,
            *self.airflow.beside,
            PYPROJECT.read_text(),
            self.constraints.read_text(),
        ]
        return hashlib.sha256("\n".join(asked_for).encode()).hexdigest()


def requirements_of(groups: Iterable[str]) -> list[str]:
    """What the dependency groups of pyproject.toml ask for. (The pip of Python 3.11 does not read them.)"""
    declared = tomllib.loads(PYPROJECT.read_text())["dependency-groups"]
    found: dict[str, None] = {}
    for group in groups:
        for entry in declared[group]:
            wanted = [entry] if isinstance(entry, str) else requirements_of([entry["include-group"]])
            found.update(dict.fromkeys(wanted))
    return list(found)


def run(command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--airflow", type=release, default=MAIN_RELEASE, help="minor version, such as 3.3")
    arguments.add_argument("--group", action="append", default=[], help="dependency group to install as well")
    arguments.add_argument("--python", default=sys.executable, help="the Python to make it with")
    arguments.add_argument("--constraints", type=Path, help="the file of pins, if not Airflow's own")
    asked = arguments.parse_args()
    environment = Environment(asked.directory, asked.airflow, asked.group, asked.python, asked.constraints)
    try:
        environment.make()
    except subprocess.CalledProcessError as failure:
        print(f"Setting up {asked.directory} failed: {' '.join(map(str, failure.cmd[:4]))} …", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
