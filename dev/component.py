"""One long-running process, such as a scheduler: started, killed, started again, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from left_running import end_sessions, note_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class Component:
    """A process with all its descendants, in a session of its own, writing to a log file of its own.

    The session matters: Airflow puts tasks and parsers into process groups of their own, where killing
    the group of the scheduler does not reach them. They stay in its session.
    """

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: list[int] = []

    def start(self) -> None:
        """Start it, or start it again; the log goes on where it ended."""
        if self.is_running:
            raise RuntimeError(f"{self.name} is running already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.append(self._process.pid)
        note_session(self._note, self._process.pid)

    @property
    def _note(self) -> Path:
        return self.log.with_suffix(".session")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def has_ended_by_itself(self) -> bool:
        """Whether it ended though nobody stopped or killed it."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it and all its descendants at once, as a power cut would: nothing is tidied up."""
        end_sessions(self._sessions)
        if self._process is not None:
            self._process.wait()
        self._process = None
        # The number of a session that is gone may become a stranger's.
        self._sessions.clear()
        self._note.unlink(missing_ok=True)

    def stop(self, grace: float = 10.0) -> None:
        """End it in good order, and by force after so many seconds of grace."""
        stop([self], grace=grace)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 32_768))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(nothing logged)"


def stop(components: Iterable[Component], grace: float = 10.0) -> None:
    """End several components together, so that the slowest decides how long it takes."""
    components = list(components)
    for component in components:
        if component.is_running and component.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(component.pid, signal.SIGTERM)
    give_up = time.monotonic() + grace
    while time.monotonic() < give_up and any(component.is_running for component in components):
        time.sleep(0.05)
    for component in components:
        component.kill()
