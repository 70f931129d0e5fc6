"""
A wait for a conversation, live: `make demo`.

A real Airflow runs an example DAG against the fake service. The conversation goes on when the DAG starts;
what happens then is told as it happens.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import textwrap
import time
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING, Any

from box_process import BoxProcess
from demo_folder import KEPT, clear_away, demo_folder
from environment import PROJECT
from real_airflow import DONE, RealAirflow

if TYPE_CHECKING:
    from pathlib import Path

DAG_ID = "example_tavus_wait_then_read"
CONVERSATION_ID = "cdemo0001"
LIMIT = 180.0
"""Seconds after which the run counts as stuck; it takes about 20."""
OURS = "airflow-provider-tavus-demo"
"""How the demo's own looks at the conversation are told from Airflow's."""

REAL_SERVICE = """\
To wait for conversations of your own, give your Airflow one connection; nothing else changes:
  airflow connections add tavus_default --conn-type tavus --conn-password '<your Tavus API key>'
or in the environment of its components:
  export AIRFLOW_CONN_TAVUS_DEFAULT='{"conn_type": "tavus", "password": "<your Tavus API key>"}'"""


class Story:
    """Tells what happens, once each, with the time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told: set[str] = set()

    def tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            print(f"{datetime.now():%H:%M:%S}  {time.monotonic() - self._began:5.1f} s  {what}", flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keep", action="store_true", help="leave Airflow and the fake service up")
    arguments.add_argument("--stop", action="store_true", help="end what --keep left up, and do nothing else")
    asked = arguments.parse_args()
    if asked.stop:
        print(f"Ended: {clear_away(kept=True)}.")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with demo_folder() as folder:
            return demonstrate(folder, keep=asked.keep)
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left running.", file=sys.stderr)
        return 130
    except Exception as failure:  # whatever it is, the reader wants to know which part failed, not where in here
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    finally:
        clear_away(kept=False)


def demonstrate(folder: Path, *, keep: bool) -> int:
    """Set the stage, run the DAG, and say what to do next."""
    box = BoxProcess(folder / "box" / "box.log", scene="demo")
    airflow = RealAirflow(
        folder / "airflow",
        dag_folders=[PROJECT / "example_dags"],
        connections={"tavus_default": box.connection},
    )
    stays_up = False
    try:
        print(f"Starting Airflow {airflow.version}: {airflow.parts}. It takes about 20 s …", flush=True)
        airflow.start()
        airflow.unpause(DAG_ID)
        box.start()
        story = Story()
        succeeded = run(airflow, box, story)
        if succeeded and keep:
            (folder / KEPT).touch()
            stays_up = True
    finally:
        if not stays_up:
            airflow.stop()
            box.stop()
    print(f"\n{REAL_SERVICE}")
    if stays_up:
        print(f"\nAirflow is up, without a login, at {airflow.address}/dags/{DAG_ID}")
        print("Stop it with: make demo-stop")
    return 0 if succeeded else 1


def run(airflow: RealAirflow, box: BoxProcess, story: Story) -> bool:
    """Run the DAG on a conversation that still goes on, telling what happens, and whether it went well."""
    story.tell(f"conversation {CONVERSATION_ID} is {conversation(box)['status']}; the DAG {DAG_ID} starts")
    run_id = airflow.trigger(DAG_ID, {"conversation_id": CONVERSATION_ID})
    give_up = time.monotonic() + LIMIT
    while (state := airflow.run_state(DAG_ID, run_id)) not in DONE:
        if time.monotonic() > give_up:
            raise TimeoutError(airflow.situation(DAG_ID, run_id))
        tell_of_the_conversation(conversation(box), story)
        tell_of_the_tasks(airflow.task_states(DAG_ID, run_id), story)
        time.sleep(0.1)
    tell_of_the_tasks(airflow.task_states(DAG_ID, run_id), story)
    story.tell(f"run {state}")
    if state != "success":
        raise RuntimeError(f"the run ended {state}.\n{airflow.situation(DAG_ID, run_id)}")
    asked = [request for request in box.requests() if request["headers"].get("user-agent") != OURS]
    print(f"\nAirflow asked Tavus {len(asked)} times in all. The transcript, as the task `read` hands it on:\n")
    for turn in airflow.xcom(DAG_ID, run_id, "read")["transcript"]:
        said = f"{turn['role'] + ':':<11}{turn['content']}"
        print(textwrap.fill(said, 100, initial_indent="  ", subsequent_indent=" " * 13))
    return True


def tell_of_the_conversation(body: dict[str, Any], story: Story) -> None:
    if body["status"] == "ended":
        story.tell("Tavus: the conversation has ended; its transcript is being made")
    if "application.transcription_ready" in {event["event_type"] for event in body["events"]}:
        story.tell("Tavus: the transcript is ready")


def tell_of_the_tasks(states: dict[str, str | None], story: Story) -> None:
    if states.get("wait") == "deferred":
        story.tell("Airflow: the task `wait` is deferred: it waits in the triggerer and holds no worker")
    if states.get("wait") == "success":
        story.tell("Airflow: `wait` was resumed and has succeeded")
    if states.get("read") == "success":
        story.tell("Airflow: `read` has the conversation")


def conversation(box: BoxProcess) -> dict[str, Any]:
    request = urllib.request.Request(f"{box.address}/v2/conversations/{CONVERSATION_ID}?verbose=true")
    request.add_header("x-api-key", box.api_key)
    request.add_header("User-Agent", OURS)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    sys.exit(main())
