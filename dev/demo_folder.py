"""The folders in `.demo/`, one for each demo that runs or was kept, and the end of those that nobody needs."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from environment import PROJECT
from left_running import end_sessions, noted_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMOS = PROJECT / ".demo"
KEPT = "kept"


@contextlib.contextmanager
def demo_folder() -> Iterator[Path]:
    """A folder for a demo that begins; nobody else clears it away while it runs."""
    DEMOS.mkdir(exist_ok=True)
    clear_away(kept=False)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=DEMOS))
    with locked(folder):
        yield folder


def clear_away(*, kept: bool) -> int:
    """
    End and remove what demos have left here, also those that were killed, but no demo that is running.

    :param kept: whether those that were asked to stay up end as well
    :return: how many of them were up
    """
    ended = 0
    for folder in DEMOS.glob("run-*"):
        with contextlib.suppress(BlockingIOError), locked(folder):
            sessions = noted_sessions(folder)
            if sessions and (folder / KEPT).exists() and not kept:
                continue
            end_sessions(sessions)
            shutil.rmtree(folder, ignore_errors=True)
            ended += bool(sessions)
    return ended


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[IO[str]]:
    """Hold a folder for as long as this process lives; BlockingIOError if another one holds it."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
