"""The command ``python -m airflow_provider_tavus.testing``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.box import TavusBox
from airflow_provider_tavus.testing.clocks import Clock, ManualClock, RealClock
from airflow_provider_tavus.testing.scenes import SCENES

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    scenes = "\n".join(f"  {name}: {scene.__doc__}" for name, scene in SCENES.items())
    arguments = argparse.ArgumentParser(
        prog="python -m airflow_provider_tavus.testing",
        description="Tavus in a box: a fake of the Tavus API, for demos and tests.",
        epilog=f"scenes:\n{scenes}\n\nSteer it over HTTP under /_box/; stop it with Ctrl-C.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--scene", choices=SCENES, default="demo", help="the world to start with (default: demo)")
    arguments.add_argument("--port", type=int, default=0, help="where to listen (default: any free port)")
    arguments.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    arguments.add_argument("--api-key", default="test-key", help="the key that it accepts (default: test-key)")
    arguments.add_argument("--seed", type=int, default=0, help="the same seed gives the same world (default: 0)")
    arguments.add_argument(
        "--speed", type=float, default=1.0, help="seconds that pass in the box per real second (default: 1)"
    )
    arguments.add_argument("--manual-clock", action="store_true", help="time stands still but for POST /_box/clock")
    arguments.add_argument(
        "--open-admin", action="store_true", help="let other machines steer the box, too, under /_box/"
    )
    return arguments


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until the process is told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    clock: Clock = ManualClock() if arguments.manual_clock else RealClock(speed=arguments.speed)
    box = TavusBox(
        arguments.api_key,
        clock=clock,
        seed=arguments.seed,
        host=arguments.host,
        port=arguments.port,
        open_admin=arguments.open_admin,
    )
    async with box:
        SCENES[arguments.scene](box)
        print(f"Tavus in a box ({arguments.scene}) listens on {box.base_url}", flush=True)  # noqa: T201
        await stopping.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = parser().parse_args(argv)
    if arguments.speed <= 0:
        parser().error("--speed must be above 0")
    if arguments.manual_clock and arguments.speed != 1.0:
        parser().error("--speed is that of time that passes by itself: leave it or --manual-clock out")
    asyncio.run(serve(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
