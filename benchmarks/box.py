"""
How fast the fake service is by itself, so that nobody measures it when they mean to measure the provider.

``python benchmarks/box.py`` starts the scene ``million`` as a process of its own and asks it from another one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable


async def requests_per_second(base_url: str, paths: Iterable[str], *, seconds: float, connections: int) -> float:
    """
    Ask for one path after the other, and return how many are answered per second.

    :param seconds: for how long.
    :param connections: how many requests are under way at a time.
    """
    upcoming, answered, until = iter(paths), 0, time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.monotonic() < until:
            async with session.get(next(upcoming)) as answer:
                await answer.read()
                assert answer.status == 200
                answered += 1

    async with aiohttp.ClientSession(base_url, headers={"x-api-key": "test-key"}) as session:
        started = time.monotonic()
        await asyncio.gather(*(ask(session) for _ in range(connections)))
        return answered / (time.monotonic() - started)


async def ids(base_url: str, count: int) -> list[str]:
    """Return the ids of conversations from all over the world."""
    found: list[str] = []
    async with aiohttp.ClientSession(base_url, headers={"x-api-key": "test-key"}) as session:
        for page in range(1, count // 100 + 1):
            async with session.get(f"/v2/conversations?limit=100&page={page * 97}") as answer:
                found += [row["conversation_id"] for row in (await answer.json())["data"]]
    return found


def peak_mebibytes(pid: int) -> float:
    """Return the most memory that a running process has held, where the system tells (Linux)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert peak is not None
    return int(peak.group(1)) / 1024


async def measure(base_url: str, *, seconds: float, connections: int) -> None:
    """Print requests per second for each kind of request."""
    known = await ids(base_url, 2000)
    asked = {
        "list, 10 rows": (f"/v2/conversations?page={page}" for page in itertools.count(1)),
        "list, 100 rows": (f"/v2/conversations?limit=100&page={page % 10_000 + 1}" for page in itertools.count()),
        "read": (f"/v2/conversations/{known_id}" for known_id in itertools.cycle(known)),
        "verbose read": (f"/v2/conversations/{known_id}?verbose=true" for known_id in itertools.cycle(known)),
    }
    for name, paths in asked.items():
        rate = await requests_per_second(base_url, paths, seconds=seconds, connections=connections)
        print(f"{name:<16}{rate:>10,.0f} requests/s")


def main() -> int:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=5.0, help="how long each kind of request is sent")
    arguments.add_argument("--connections", type=int, default=16, help="how many requests are under way at a time")
    chosen = arguments.parse_args()
    command = [sys.executable, "-m", "airflow_provider_tavus.testing", "--scene", "million"]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base_url = re.search(r"http://\S+", process.stdout.readline())
            assert base_url is not None
            print(f"{'start':<16}{time.monotonic() - started:>10.2f} s")
            print(f"{'memory at start':<16}{peak_mebibytes(process.pid):>10,.0f} MiB")
            asyncio.run(measure(base_url.group(), seconds=chosen.seconds, connections=chosen.connections))
            print(f"{'memory at end':<16}{peak_mebibytes(process.pid):>10,.0f} MiB")
        finally:
            process.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
