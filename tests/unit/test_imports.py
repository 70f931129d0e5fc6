"""What an import of ours costs and drags in, and which rooms may import which."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_tavus"
IMPORTED_BY_DAG_FILES = sorted(
    f"airflow_provider_tavus.{room}.{module.stem}"
    for room in ("hooks", "links", "operators", "sensors", "triggers")
    for module in (PACKAGE / room).glob("*.py")
    if module.stem != "__init__"
)
PAID_FOR_ONLY_WHERE_USED = ("aiohttp", "pyarrow", "requests", "airflow_provider_tavus.api.models")


def in_a_fresh_process(code: str, *options: str) -> str:
    process = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout.splitlines()[-1]


def test_a_dag_file_pays_for_no_library_of_ours() -> None:
    # What a DAG file with a sensor, a hook and a trigger of Airflow's own has loaded is not our doing.
    added = in_a_fresh_process(
        f"""
import importlib, json, sys
import airflow.triggers.base
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator
before = set(sys.modules)
for module in {IMPORTED_BY_DAG_FILES!r}:
    importlib.import_module(module)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    )
    assert set(json.loads(added)) >= set(IMPORTED_BY_DAG_FILES)
    assert not set(json.loads(added)).intersection(PAID_FOR_ONLY_WHERE_USED)


def test_no_import_of_ours_is_deprecated_by_this_airflow() -> None:
    modules = [*IMPORTED_BY_DAG_FILES, "airflow_provider_tavus.get_provider_info", "airflow_provider_tavus.testing"]
    in_a_fresh_process(
        f"""
import importlib, logging, warnings
import airflow.settings
logging.captureWarnings(False)
for kind in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
    warnings.filterwarnings("error", category=kind, module="airflow_provider_tavus")
for module in {modules!r}:
    importlib.import_module(module)
print("done")
"""
    )


def test_the_rooms_import_each_other_only_as_the_contracts_say() -> None:
    pytest.importorskip("importlinter", reason="checked in the environment of `make test` alone")
    lint = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout
