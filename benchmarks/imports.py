"""
What a DAG file pays for its imports: `make benchmark`.

Airflow imports every DAG file again and again, each time in a new process. Measured is what the modules of a
provider add, in CPU time and memory, to a file that holds a bare DAG: all its operators, sensors, hooks and
triggers, as its own metadata lists them. Each measurement is a process of its own; the candidates take turns,
so that a busy moment of the machine meets them all; told is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "airflow-provider-tavus"
PEERS = (
    "apache-airflow-providers-http",
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-anthropic",
)
AIRFLOWS_OWN = (
    "airflow.sdk.bases.sensor",
    "airflow.sdk.bases.hook",
    "airflow.triggers.base",
    "airflow.providers.common.compat.sdk",
)
"""What every provider with a sensor, a hook and a trigger stands on."""

TARGET_CPU = 15.0
TARGET_MEMORY = 2.0

LIST_MODULES = """
import json, sys
from importlib.metadata import distribution
provider_info = next(iter(distribution(sys.argv[1]).entry_points.select(group="apache_airflow_provider"))).load()()
kinds = ("operators", "sensors", "hooks", "triggers")
print(json.dumps([name for kind in kinds for entry in provider_info.get(kind, ()) for name in entry["python-modules"]]))
"""

MEASURE = """
import gc, importlib, json, os, sys, time

def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

from airflow.sdk import DAG
DAG("bare", schedule=None)
gc.collect()
loaded, memory, cpu = len(sys.modules), resident(), time.process_time()
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}")
cpu, memory = time.process_time() - cpu, resident() - memory
print(json.dumps({"cpu": cpu * 1000, "memory": memory / 2**20, "loaded": len(sys.modules) - loaded, "failed": failed}))
"""


@dataclass
class Candidate:
    """One thing to import, and what its imports were seen to cost."""

    name: str
    modules: Sequence[str]
    cpu: list[float] = field(default_factory=list)
    """Milliseconds."""
    memory: list[float] = field(default_factory=list)
    """MiB."""
    loaded: int = 0
    """How many modules came along."""
    failed: list[str] = field(default_factory=list)

    def measure(self, *, count: bool) -> None:
        seen = json.loads(in_a_fresh_process(MEASURE, *self.modules))
        self.loaded, self.failed = seen["loaded"], seen["failed"]
        if count:
            self.cpu.append(seen["cpu"])
            self.memory.append(seen["memory"])


def in_a_fresh_process(code: str, *arguments: str) -> str:
    """Run code, and return the last line that it prints."""
    # Airflow finds compiled modules wherever it runs for more than a moment.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        raise RuntimeError(process.stderr[-3000:])
    return process.stdout.splitlines()[-1]


def candidates() -> list[Candidate]:
    """Airflow's own bases, ours, and the peers."""
    found = [Candidate(f"Airflow's own bases {version('apache-airflow')}", AIRFLOWS_OWN)]
    for distribution in (OURS, *PEERS):
        modules = json.loads(in_a_fresh_process(LIST_MODULES, distribution))
        found.append(Candidate(f"{distribution.removeprefix('apache-airflow-')} {version(distribution)}", modules))
    return found


def table(measured: Sequence[Candidate]) -> str:
    """What was seen, with how many times ours each one is."""
    ours = next(candidate for candidate in measured if candidate.name.startswith(OURS))
    lines = [f"{'adds to a bare DAG':<32}{'CPU ms':>8}{'x ours':>8}{'MiB':>8}{'x ours':>8}{'modules':>9}"]
    for candidate in measured:
        cpu, memory = median(candidate.cpu), median(candidate.memory)
        times_cpu = cpu / max(median(ours.cpu), 0.1)
        times_memory = memory / max(median(ours.memory), 0.1)
        lines.append(
            f"{candidate.name:<32}{cpu:>8.1f}{times_cpu:>8.1f}{memory:>8.1f}{times_memory:>8.1f}{candidate.loaded:>9}"
        )
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=5, help="measurements of each (default: 5)")
    asked = arguments.parse_args()
    found = candidates()
    # The first round writes the compiled modules and fills the disk cache; it does not count.
    for turn in range(asked.repeats + 1):
        for candidate in found:
            candidate.measure(count=turn > 0)
    print(f"Python {sys.version.split()[0]}, median of {asked.repeats}\n")
    print(table(found))
    for candidate in found:
        for failure in candidate.failed:
            print(f"not imported, so not counted: {failure}")
    print(f"\nAimed at: ours under {TARGET_CPU:.0f} ms and {TARGET_MEMORY:.0f} MiB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
