"""A process that is killed while it collects, and the one that stores for it, and what the next run makes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import collecting
import pytest
from collecting import collect

from airflow_provider_tavus.testing import ManualClock, Script, TavusBox

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
DAY = 86_400.0
HOUR = 3600.0
MANY = 150

RUN = """
import pathlib, sys, types
sys.path[:] = {path!r}
import collecting
from airflow_provider_tavus.collect import storing
from airflow_provider_tavus.collect.local_store import LocalStore
storing.MUCH_TO_STORE = 0
box = types.SimpleNamespace(
    api_key={api_key!r}, base_url={base_url!r}, clock=types.SimpleNamespace(now=lambda: {now!r})
)
collecting.collect(box, LocalStore(sys.argv[1]), requests_in_flight=4)
"""


def start(box: TavusBox, root: Path) -> subprocess.Popen[bytes]:
    script = RUN.format(path=sys.path, api_key=box.api_key, base_url=box.base_url, now=NOW)
    return subprocess.Popen([sys.executable, "-c", script, str(root)], start_new_session=True)


def count(root: Path) -> int:
    return sum(1 for _ in root.glob("raw/*/*.json"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this machine")
@pytest.mark.long
@pytest.mark.parametrize("stored", [1, MANY // 3, MANY])
def test_a_killed_process_and_a_run_after_it_leave_the_bytes_of_one_run(tmp_path: Path, stored: int) -> None:
    with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
        for number in range(MANY):
            box.add(Script.finished(), created_at=NOW - DAY - number * HOUR)
        collect(box, tmp_path / "whole")
        expected = collecting.objects(tmp_path / "whole")
        root = tmp_path / "killed"

        with start(box, root) as process:
            while count(root) < stored and process.poll() is None:
                time.sleep(0.001)
            process.kill()
        was_killed = process.returncode == -signal.SIGKILL
        assert was_killed or stored == MANY, "it came to its end before it was killed"
        certificate = collect(box, root)

        assert certificate.complete
        # Once all is stored, it may have come to its end: then the newest rows are enough.
        assert certificate.ended == MANY or stored == MANY
        # Nothing waits for the process that stores: it may still have been at work when the next run began.
        give_up = time.monotonic() + 10
        while collecting.objects(root) != expected and time.monotonic() < give_up:
            time.sleep(0.1)
        assert collecting.objects(root) == expected
