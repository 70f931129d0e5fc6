"""
Finds and ends what a process that is gone has left running.

Each component notes its session in a file beside its log. The note holds the moment at which the session's
leader was started, too: its number alone may by now be a stranger's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def note_session(note: Path, leader: int) -> None:
    """Write down a session for whoever comes later."""
    note.write_text(f"{leader}\n{started_at(leader)}\n")


def noted_sessions(folder: Path) -> list[int]:
    """The sessions that are noted somewhere in a folder and still have processes."""
    sessions = []
    for note in folder.rglob("*.session"):
        with contextlib.suppress(OSError, ValueError):
            leader, started = note.read_text().splitlines()
            # A session may outlive its leader; its number is not given anew before it is empty.
            if started_at(int(leader)) in {started, None} and members_of([int(leader)]):
                sessions.append(int(leader))
    return sessions


def end_sessions(sessions: Iterable[int]) -> None:
    """End all processes of these sessions at once."""
    sessions = list(sessions)
    killed: set[int] = set()
    # What forked between the listing and the kill is found in the next listing.
    while newly_found := set(members_of(sessions)) - killed:
        for pid in newly_found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= newly_found


def members_of(sessions: Iterable[int]) -> list[int]:
    """The processes of these sessions."""
    wanted = set(sessions)
    found = []
    for pid in all_processes():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) in wanted:
                found.append(pid)
    return found


def all_processes() -> list[int]:
    if Path("/proc/self").exists():
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [int(pid) for pid in asked_of_ps("-A", "-o", "pid=").split()]


def started_at(pid: int) -> str | None:
    """When a process was started, in whatever unit the system counts; None if there is no such process."""
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            # The name, in brackets, may hold anything; the start is the 20th field after it.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return None
    return asked_of_ps("-o", "lstart=", "-p", str(pid)).strip() or None


def asked_of_ps(*question: str) -> str:
    return subprocess.run(["ps", *question], check=False, capture_output=True, text=True).stdout
