"""Nothing of ours holds up the event loop, which all triggers of a triggerer share."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from box_process import BoxProcess
from slow_callbacks import slow_callbacks

if TYPE_CHECKING:
    from collections.abc import Callable

WAITS_IN_A_LOOP = Path(__file__).parents[3] / "dev" / "waits_in_a_loop.py"
WAITS = 500
ATTEMPTS = 3
"""What holds the loop does so each time; what the machine's other work causes does not."""


@pytest.mark.long
def test_none_of_many_waits_holds_the_loop_for_a_twentieth_of_a_second(tmp_path: Path) -> None:
    slow: list[Any] = []
    with BoxProcess(tmp_path / "box.log") as box:
        for _ in range(ATTEMPTS):
            waited = wait_in_a_process_of_its_own(box)
            assert waited["debug"]
            assert waited["ends"] == {"done": WAITS}
            # They did wait together: the list was asked for them, again and again.
            assert len(box.requests(route="list")) > 2
            if not waited["slow"]:
                return
            slow.append(waited["slow"])
            box.forget_requests()
    pytest.fail(f"The loop was held each time: {slow}")


def wait_in_a_process_of_its_own(box: BoxProcess) -> Any:
    environment = {
        "AIRFLOW_CONN_TAVUS_DEFAULT": json.dumps(box.connection),
        "PYTHONASYNCIODEBUG": "1",
    }
    with subprocess.Popen(
        [sys.executable, str(WAITS_IN_A_LOOP), "0.5"],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in {"ready\n", ""}:
            pass
        calls = [
            box.add({"name": "finished", "seconds": 3 + 3 * place / WAITS, "transcript_delay": 1})
            for place in range(WAITS)
        ]
        output, _ = process.communicate(json.dumps(calls) + "\n", timeout=120)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def compute(seconds: float) -> None:
    give_up = time.thread_time() + seconds
    while time.thread_time() < give_up:
        pass


@pytest.mark.parametrize("hold", [compute, time.sleep], ids=["computes", "blocks"])
def test_what_holds_a_loop_is_found_whether_it_computes_or_blocks(hold: Callable[[float], None]) -> None:
    async def holds_the_loop() -> None:
        hold(0.06)

    async def waits() -> None:
        await asyncio.gather(holds_the_loop(), asyncio.sleep(0.1))

    with slow_callbacks() as slow:
        asyncio.run(waits())

    # Others, too, may have been held up by what the machine does besides.
    assert [callback.name for callback in slow if callback.name.endswith("holds_the_loop")]
    assert all(callback.seconds >= 0.05 for callback in slow)
