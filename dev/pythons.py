"""The Pythons of this machine that the project can be tested with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (3, 11)
CHECK = "import ensurepip, ssl, sqlite3, sys, venv; print(*sys.version_info[:2])"


def pythons_at_hand(newest: tuple[int, int]) -> dict[tuple[int, int], Path]:
    """
    One working interpreter per minor version from 3.11 on, by version.

    They are looked for on PATH and among the versions that pyenv and uv keep.
    """
    found: dict[tuple[int, int], Path] = {}
    for minor in range(OLDEST[1], newest[1] + 1):
        version = (3, minor)
        for candidate in _candidates(f"python3.{minor}"):
            if _version_of(candidate) == version:
                found[version] = candidate
                break
    return found


def _candidates(name: str) -> Iterator[Path]:
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    # The newest patch of each minor version first, where several are kept.
    folders += sorted(pyenv.glob("*/bin"), reverse=True) + sorted(uv.glob("*/bin"), reverse=True)
    return (folder / name for folder in folders if (folder / name).exists())


def _version_of(python: Path) -> tuple[int, ...] | None:
    """Its version if it runs and can make environments; a shim of pyenv may name a version that is not there."""
    try:
        asked = subprocess.run([python, "-c", CHECK], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, asked.stdout.split()))
