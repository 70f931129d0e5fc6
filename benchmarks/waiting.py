"""
What many waits in one triggerer cost: ours beside the ways of the peers, in one run, against the fake service.

    python benchmarks/waiting.py                 2,000 waits as in the table of the documentation
    python benchmarks/waiting.py --waits 20000 --interval 30 --last-end 360 --only ours

Each contender runs in a process of its own against a box of its own. Times are of noisy machines: compare the
rows of one run.
"""

from __future__ import annotations

import argparse
import asyncio
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TRANSCRIPT = "application.transcription_ready"


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


IMPORTED_ONCE = {
    "ours": ["airflow_provider_tavus.triggers.conversation", "airflow_provider_tavus.api.async_client"],
    "http provider": ["airflow.providers.http.triggers.http"],
    "session per poll": ["aiohttp"],
    "thread per poll": ["requests"],
}


async def measure(
    contender: str, begin: float, ready_at: dict[str, float], box: str, key: str, interval: float
) -> dict[str, float]:
    """Let a contender wait for all from ``begin`` on (epoch seconds), and tell what that took; times in seconds."""
    wait_for = CONTENDERS[contender]
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
    lateness: list[float] = []
    stalls = [0.0]

    async def wait(conversation_id: str) -> None:
        await asyncio.sleep(random.random() * interval)
        await wait_for(conversation_id, box, key, interval)
        lateness.append(time.time() - ready_at[conversation_id])

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            stalls.append(time.monotonic() - began - 0.01)

    # What is imported once is not the cost of waiting.
    for module in IMPORTED_ONCE[contender]:
        importlib.import_module(module)
    if begin < time.time():
        raise RuntimeError("The box was not filled in time: run it again on a quieter machine.")
    await asyncio.sleep(begin - time.time())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu = time.process_time()
    ticking = asyncio.create_task(tick())
    await asyncio.gather(*map(wait, ready_at))
    ticking.cancel()
    return {
        "cpu": time.process_time() - cpu,
        "stall": max(stalls),
        "late_p99": statistics.quantiles(lateness, n=100)[98],
        "late_median": statistics.median(lateness),
        "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024,
    }


def run_contender(contender: str, waits: int, interval: float, first_end: float, last_end: float) -> dict[str, float]:
    """Start a box and, beside it, a process in which the contender waits."""
    luck = random.Random(7)
    with BoxProcess(Path(f"/tmp/box-{os.getpid()}.log")) as box:
        # As long as it takes to fill the box and to start the contender, on a busy machine.
        now = box.now() + 10 + waits / 200
        ready_at = {}
        for _ in range(waits):
            end = luck.uniform(first_end, last_end)
            conversation_id = box.add({"name": "finished", "seconds": end, "transcript_delay": 0}, created_at=now)
            ready_at[conversation_id] = now + end
        box.forget_requests()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        connection = json.dumps(box.connection)
        environment |= {
            "AIRFLOW_CONN_TAVUS_DEFAULT": connection,
            "AIRFLOW_CONN_BOX_OVER_HTTP": json.dumps({"conn_type": "http", "host": box.address}),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        asked = json.dumps([contender, now, ready_at, box.address, box.api_key, interval])
        child = subprocess.run(
            [sys.executable, __file__, "--child"],
            input=asked,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode:
            raise RuntimeError(child.stderr[-3000:])
        requests = box.steer("GET", "requests")["requests"]
        measured: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
        return measured | {"requests": len(requests), "lists": sum(one["route"] == "list" for one in requests)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--waits", type=int, default=2000)
    arguments.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    arguments.add_argument("--first-end", type=float, default=60.0, help="seconds until the first conversation ends")
    arguments.add_argument("--last-end", type=float, default=90.0, help="seconds until the last one has ended")
    arguments.add_argument("--only", choices=CONTENDERS, action="append", help="may be repeated")
    arguments.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.child:
        print(json.dumps(asyncio.run(measure(*json.load(sys.stdin)))))
        return
    print(f"{asked.waits} waits, interval {asked.interval:g} s, ends after {asked.first_end:g} to {asked.last_end:g} s")
    titles = ("requests", "beyond 1", "lists", "CPU s", "stall s", "late p99", "median", "MiB")
    print(" " * 18 + "".join(f"{title:>10}" for title in titles))
    rows = {}
    for contender in asked.only or CONTENDERS:
        row = run_contender(contender, asked.waits, asked.interval, asked.first_end, asked.last_end)
        row["beyond"] = row["requests"] - asked.waits
        rows[contender] = row
        counts = "".join(f"{row[name]:>10.0f}" for name in ("requests", "beyond", "lists"))
        times = "".join(f"{row[name]:>10.2f}" for name in ("cpu", "stall", "late_p99", "late_median"))
        print(f"{contender:18}{counts}{times}{row['memory']:>10.0f}", flush=True)
    if "ours" in rows:
        for contender, row in rows.items():
            if contender != "ours":
                ratios = {name: row[name] / max(rows["ours"][name], 0.001) for name in ("beyond", "cpu", "memory")}
                print(
                    f"{contender}: {ratios['beyond']:.0f} times our requests beyond the final reads, "
                    f"{ratios['cpu']:.1f} times our CPU, {ratios['memory']:.1f} times our memory"
                )


if __name__ == "__main__":
    main()
