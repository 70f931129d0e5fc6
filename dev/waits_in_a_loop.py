"""
Many waits in the event loop of a process of their own; prints how they ended and what held the loop, as JSON.

    python waits_in_a_loop.py 1.0

Taken are the interval, in seconds, and, once it has said that it is ready, the ids of the conversations, as JSON in
a line of the input. `tavus_default` leads to where they are.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import Counter
from dataclasses import asdict

# A triggerer has loaded this before it starts its first trigger.
import airflow.jobs.triggerer_job_runner  # noqa: F401
from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from slow_callbacks import SlowCallback, slow_callbacks

from airflow_provider_tavus.triggers.conversation_sensor import ConversationSensorTrigger


async def main(interval: float, slow: list[SlowCallback]) -> dict[str, object]:
    """Wait for all of them, and tell what came of it."""
    # What Airflow does when it is first asked for a connection, and what Python does to sweep out what Airflow has
    # loaded, is not ours.
    await get_async_extra_dejson(await get_async_connection("tavus_default"))
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    conversation_ids = json.loads(sys.stdin.readline())
    await asyncio.sleep(0)
    slow.clear()
    # One by one, as in a triggerer: not all in one callback.
    waits = []
    for conversation_id in conversation_ids:
        waits.append(asyncio.create_task(ending(conversation_id, interval)))
        await asyncio.sleep(0)
    ends = Counter(await asyncio.gather(*waits))
    return {"debug": asyncio.get_running_loop().get_debug(), "ends": ends, "slow": list(map(asdict, slow))}


async def ending(conversation_id: str, interval: float) -> str:
    """Return the status with which a wait ends."""
    trigger = ConversationSensorTrigger(
        conversation_id=conversation_id,
        wait_for=["application.transcription_ready"],
        grace_period=60,
        poll_interval=interval,
        wait_at_most=300,
        deferred_at_most=400,
    )
    async for event in trigger.run():
        return str(event.payload["status"])
    return "no event"


if __name__ == "__main__":
    with slow_callbacks() as slow:
        print(json.dumps(asyncio.run(main(float(sys.argv[1]), slow))))
