"""The vendor's own client on the box, from an environment of its own: it shares none of our code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.testing import TavusBox

    Run = Callable[..., str]

# It depends on no Airflow, so that once is enough.
pytestmark = pytest.mark.long

VERSION = "0.11.0"

ITS_CLIENT = """
import asyncio, json, sys
from tavus_mcp.sdk.client.http import TavusClient

async def main(method, *args):
    async with TavusClient.from_env(surface="cli") as client:
        print(json.dumps(await getattr(client.conversations, method)(*args)))

asyncio.run(main(*sys.argv[1:]))
"""
"""The command offers create and end; its client class also lists, reads and deletes."""


@pytest.fixture(scope="session")
def its_python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of an environment with the vendor's client; made once, kept in pytest's cache."""
    if ready := os.environ.get("TAVUS_CLI_ENVIRONMENT"):
        return Path(ready) / "bin" / "python"
    home = request.config.cache.mkdir(f"tavus-cli-{VERSION}")
    python = home / "bin" / "python"
    if not (home / "bin" / "tavus").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        wanted = f"tavus-cli=={VERSION}"
        # uv takes a tenth of the time, but does not read pip's configuration: see dev/environment.py.
        for command in (
            [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", str(python), wanted],
            [str(python), "-m", "pip", "install", "--quiet", wanted],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        else:
            pytest.skip(f"{wanted} cannot be installed here: {done.stderr[-300:]}")
    return python


@pytest.fixture
def run(its_python: Path, box: TavusBox, tmp_path: Path) -> Run:
    """Run a program of that environment against the box."""

    def program(*command: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TAVUS_API_KEY": box.api_key,
            "TAVUS_PUBLIC_API_BASE_URL": f"{box.base_url}/v2",
            "COLUMNS": "200",
        }
        done = subprocess.run(
            [str(its_python), *command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return program


def test_the_vendors_client_creates_lists_reads_ends_and_deletes(run: Run, its_python: Path, box: TavusBox) -> None:
    tavus = str(its_python.with_name("tavus"))

    def client(*call: str) -> Any:
        return json.loads(run("-c", ITS_CLIENT, *call))

    created = json.loads(run(tavus, "conversation", "create", "--pal-id", "p1", "--name", "From the command"))
    conversation_id = created["conversation_id"]

    assert client("get", conversation_id)["conversation_name"] == "From the command"
    assert [row["conversation_id"] for row in client("list")["data"]] == [conversation_id]
    run(tavus, "conversation", "end", conversation_id)
    assert client("get", conversation_id)["status"] == "ended"
    client("delete", conversation_id)
    assert client("list") == {"data": [], "total_count": 0}

    assert [request.route for request in box.requests] == [
        "create",
        "get",
        "list",
        "end",
        "get",
        "delete",
        "list",
    ]
    assert {request.headers["user-agent"] for request in box.requests} == {f"tavus-cli/{VERSION}"}
    assert {request.status for request in box.requests} == {200, 204}


def test_the_vendors_client_finds_the_box_in_health(run: Run, its_python: Path, box: TavusBox) -> None:
    tavus = str(its_python.with_name("tavus"))

    assert "Network check passed" in run(tavus, "doctor")
    assert "Anna" in run(tavus, "pal", "list")
    assert "Anna" in run(tavus, "face", "list")
    assert {request.route for request in box.requests} == {"pals", "faces"}
