"""
What many waits in one triggerer cost: ours beside the ways of the peers, in one run, against the fake service.

    python benchmarks/waiting.py                 2,000 waits in each way, then 20,000 in ours
    python benchmarks/waiting.py --many 0        the 2,000 alone
    python benchmarks/waiting.py --waits 0       the 20,000 alone

Each contender runs in a process of its own against a box of its own. Times are of noisy machines: compare the
rows of one run. A stall is the longest time for which the event loop did not come round; that in which another
process had the processor does not count. Memory is what the peak grew by while it waited.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dev"))

from box_process import BoxProcess
from slow_callbacks import own_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TRANSCRIPT = "application.transcription_ready"
TITLES = ("requests", "beyond 1", "lists", "CPU s", "stall s", "late p99", "median", "MiB")
Row = dict[str, float]


def is_ready(conversation: dict[str, Any]) -> bool:
    """What every contender waits for."""
    return conversation["status"] == "ended" and any(
        event["event_type"] == TRANSCRIPT for event in conversation.get("events") or []
    )


async def ours(conversation_id: str, box: str, key: str, interval: float) -> None:
    from airflow_provider_tavus.triggers.conversation import ConversationTrigger

    now = time.time()
    trigger = ConversationTrigger(
        conversation_ids=[conversation_id],
        wait_for=[TRANSCRIPT],
        grace_period=600,
        poll_interval=interval,
        deadline=now + 3600,
        started_at=now,
        next_look=now + interval,
    )
    async for _ in trigger.run():
        return


async def http_provider(conversation_id: str, box: str, key: str, interval: float) -> None:
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.http.hooks.http import HttpAsyncHook
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    class ReadyHook(HttpAsyncHook):  # type: ignore[misc]
        async def run(self, *arguments: Any, **named: Any) -> Any:
            answer = await super().run(*arguments, **named)
            if not is_ready(await answer.json()):
                # A 404 is the one answer that this trigger waits out, at its interval.
                raise AirflowException("404: not ready")
            return answer

    class ReadyTrigger(HttpSensorTrigger):  # type: ignore[misc]
        def _get_async_hook(self) -> HttpAsyncHook:
            return ReadyHook(method=self.method, http_conn_id=self.http_conn_id)

    trigger = ReadyTrigger(
        endpoint=f"v2/conversations/{conversation_id}",
        http_conn_id="box_over_http",
        data={"verbose": "true"},
        headers={"x-api-key": key},
        poke_interval=interval,
    )
    async for _ in trigger.run():
        return


async def session_per_poll(conversation_id: str, box: str, key: str, interval: float) -> None:
    import aiohttp

    url = f"{box}/v2/conversations/{conversation_id}?verbose=true"
    while True:
        async with aiohttp.ClientSession(headers={"x-api-key": key}) as session, session.get(url) as answer:
            if is_ready(await answer.json()):
                return
        await asyncio.sleep(interval)


async def thread_per_poll(conversation_id: str, box: str, key: str, interval: float) -> None:
    import requests

    url = f"{box}/v2/conversations/{conversation_id}?verbose=true"
    while True:
        answer = await asyncio.to_thread(requests.get, url, headers={"x-api-key": key}, timeout=30)
        if is_ready(answer.json()):
            return
        await asyncio.sleep(interval)


CONTENDERS: dict[str, Callable[[str, str, str, float], Awaitable[None]]] = {
    "ours": ours,
    "http provider": http_provider,
    "session per poll": session_per_poll,
    "thread per poll": thread_per_poll,
}


TRIGGERER = ["airflow.jobs.triggerer_job_runner", "airflow.models.connection"]
"""What a triggerer has loaded before its first trigger starts."""
IMPORTED_ONCE = {
    "ours": [
        *TRIGGERER,
        "airflow_provider_tavus.triggers.conversation",
        "airflow_provider_tavus.api.async_client",
    ],
    "http provider": [*TRIGGERER, "airflow.providers.http.triggers.http"],
    "session per poll": ["aiohttp"],
    "thread per poll": ["requests"],
}
AIRFLOW_CONNECTIONS = {"ours": "tavus_default", "http provider": "box_over_http"}


async def measure(contender: str) -> Row:
    """
    Let a contender wait, and tell what that took; times in seconds.

    Taken from the input, once it has said that it is ready, are when to begin (epoch seconds), when the results of
    each conversation are there, where they are, with which key, and the interval.
    """
    await prepare(contender)
    print("ready", flush=True)
    begin, ready_at, box, key, interval = json.loads(sys.stdin.readline())
    wait_for = CONTENDERS[contender]
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
    lateness: list[float] = []
    stalls = [0.0]

    async def wait(conversation_id: str) -> None:
        await wait_for(conversation_id, box, key, interval)
        lateness.append(time.time() - ready_at[conversation_id])

    async def tick() -> None:
        with own_time() as now:
            while True:
                began = now()
                await asyncio.sleep(0.01)
                stalls.append(now() - began - 0.01)

    if begin < time.time():
        raise RuntimeError("The box was not filled in time: run it again on a quieter machine.")
    await asyncio.sleep(begin - time.time())
    memory = resident(since_now=True)
    cpu = time.process_time()
    ticking = asyncio.create_task(tick())
    async with asyncio.TaskGroup() as waiting:
        for conversation_id, start in zip(ready_at, sorted(random.random() for _ in ready_at), strict=True):
            await asyncio.sleep(begin + start * interval - time.time())
            waiting.create_task(wait(conversation_id))
    ticking.cancel()
    return {
        "cpu": time.process_time() - cpu,
        "stall": max(stalls),
        "late_p99": statistics.quantiles(lateness, n=100)[98],
        "late_median": statistics.median(lateness),
        "memory": resident() - memory,
    }


async def prepare(contender: str) -> None:
    """Do what is done once in a triggerer's life, and is not the cost of waiting."""
    for module in IMPORTED_ONCE[contender]:
        importlib.import_module(module)
    if contender in AIRFLOW_CONNECTIONS:
        # What Airflow does when it is first asked for a connection.
        from airflow.providers.common.compat.connection import get_async_connection

        await get_async_connection(AIRFLOW_CONNECTIONS[contender])
    gc.collect()
    gc.freeze()


def resident(*, since_now: bool = False) -> float:
    """Return the process's peak of resident memory in MiB, since it began or was last asked to begin anew."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if since_now:
        # getrusage() would tell the peak of the process that started this one, if that was higher.
        Path("/proc/self/clear_refs").write_text("5")
    (peak,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


def run_contender(contender: str, waits: int, interval: float, first_end: float, last_end: float) -> Row:
    """Start a box and, beside it, a process in which the contender waits."""
    with BoxProcess(Path(f"/tmp/box-{os.getpid()}.log")) as box:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {
            "AIRFLOW_CONN_TAVUS_DEFAULT": json.dumps(box.connection),
            "AIRFLOW_CONN_BOX_OVER_HTTP": json.dumps({"conn_type": "http", "host": box.address}),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        with subprocess.Popen(
            [sys.executable, __file__, "--child", contender],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            while child.stdout.readline() not in {"ready\n", ""}:
                pass
            # Twice as long as it seems to take to fill the box: the machine may become busier.
            begin = box.now() + 10 + 2 * waits * seconds_to_add(box)
            ready_at = filled(box, waits, begin, first_end, last_end)
            output, _ = child.communicate(json.dumps([begin, ready_at, box.address, box.api_key, interval]) + "\n")
        if child.returncode:
            raise RuntimeError(f"{contender} failed.")
        requests = box.steer("GET", "requests")["requests"]
        measured: Row = json.loads(output.splitlines()[-1])
        return measured | {"requests": len(requests), "lists": sum(one["route"] == "list" for one in requests)}


def seconds_to_add(box: BoxProcess) -> float:
    """Return how long it takes to let a conversation exist; those that were added to tell are over."""
    began = time.monotonic()
    for _ in range(100):
        box.add({"name": "finished", "seconds": 1}, created_at=box.now() - 1000)
    return (time.monotonic() - began) / 100


def filled(box: BoxProcess, waits: int, begin: float, first_end: float, last_end: float) -> dict[str, float]:
    """Let conversations begin at ``begin`` (epoch seconds), and return when the results of each are there."""
    luck = random.Random(7)
    ready_at = {}
    for _ in range(waits):
        end = luck.uniform(first_end, last_end)
        conversation_id = box.add({"name": "finished", "seconds": end, "transcript_delay": 0}, created_at=begin)
        ready_at[conversation_id] = begin + end
    box.forget_requests()
    return ready_at


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--waits", type=int, default=2000)
    arguments.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    arguments.add_argument("--first-end", type=float, default=60.0, help="seconds until the first conversation ends")
    arguments.add_argument("--last-end", type=float, default=90.0, help="seconds until the last one has ended")
    arguments.add_argument("--only", choices=CONTENDERS, action="append", help="may be repeated")
    arguments.add_argument("--many", type=int, default=20_000, help="waits of ours at 30 s that follow")
    arguments.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.child:
        print(json.dumps(asyncio.run(measure(asked.child))))
        return
    if asked.waits:
        rows = run(asked.only or list(CONTENDERS), asked.waits, asked.interval, asked.first_end, asked.last_end)
        if "ours" in rows:
            print_ratios(rows)
            print_goals(rows["ours"], rows.get("http provider"), asked.interval)
    if asked.many:
        rows = run(["ours"], asked.many, 30.0, 60.0, 360.0)
        print_goals(rows["ours"], None, 30.0)


def run(contenders: list[str], waits: int, interval: float, first_end: float, last_end: float) -> dict[str, Row]:
    """Run them one after another, and print a row of each as soon as it is there."""
    print(f"{waits} waits, interval {interval:g} s, ends after {first_end:g} to {last_end:g} s")
    print(" " * 18 + "".join(f"{title:>10}" for title in TITLES))
    rows = {}
    for contender in contenders:
        row = rows[contender] = run_contender(contender, waits, interval, first_end, last_end)
        row["beyond"] = row["requests"] - waits
        counts = "".join(f"{row[name]:>10.0f}" for name in ("requests", "beyond", "lists"))
        times = "".join(f"{row[name]:>10.2f}" for name in ("cpu", "stall", "late_p99", "late_median"))
        print(f"{contender:18}{counts}{times}{row['memory']:>10.0f}", flush=True)
    return rows


def print_ratios(rows: dict[str, Row]) -> None:
    """Print how many times ours the others are."""
    print("times ours")
    for contender, row in rows.items():
        if contender != "ours":
            names = ("requests", "beyond", None, "cpu", "stall", "late_p99", "late_median", "memory")
            ratios = [f"{row[name] / max(rows['ours'][name], 0.001):.1f}" if name else "" for name in names]
            print(f"{contender:18}{''.join(f'{ratio:>10}' for ratio in ratios)}")


def print_goals(ours: Row, http: Row | None, interval: float) -> None:
    """Print whether ours is as good as it is meant to be."""
    goals = [
        ("longest stall under 0.1 s", ours["stall"] < 0.1),
        (f"99th percentile of lateness at most {interval + 1:g} s", ours["late_p99"] <= interval + 1),
    ]
    if http:
        goals += [
            (
                "requests beyond the final reads at most 1/40 of the http provider's",
                ours["beyond"] * 40 <= http["beyond"],
            ),
            ("CPU at most 1/5", ours["cpu"] * 5 <= http["cpu"]),
            ("memory growth at most 1/3", ours["memory"] * 3 <= http["memory"]),
        ]
    for goal, reached in goals:
        print(f"{'reached' if reached else 'MISSED':8}{goal}", flush=True)


if __name__ == "__main__":
    main()
