"""
What collecting an archive costs: ours beside a bare loop, the practical limit, and beside what else there is.

    python benchmarks/collect.py                           5,000 conversations of 60 turns, without latency
    python benchmarks/collect.py --latency 0.05            with 50 ms before each answer
    python benchmarks/collect.py --conversations 100000 --only ours
    python benchmarks/collect.py --rounds 5                the best of five rounds, for machines that do other work

Each contender runs in a process of its own against a server that does nothing but send bytes. Ours stores raw
objects, JSON Lines and ledger; the bare loop stores nothing, or the objects and turns without any care: no ledger, no
second look at the list, nothing odd in a body. The others store what they store. Then ours runs a second time, with
nothing new. Times are of noisy machines: compare the rows of one run. CPU seconds and memory are with those of the
processes that a contender starts.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import json
import logging
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = {"x-api-key": "test-key"}
IN_FLIGHT = 32
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
PLACE = b"c000000000000"


def conversation_id(number: int) -> str:
    return f"c{number:012d}"


def one_conversation(turns: int) -> bytes:
    """A conversation of an ordinary length, with its id left to be filled in."""
    said = "Well, I planted tomatoes in May, and they grew faster than I had thought they would this year."
    transcript = [
        {
            "role": ("user", "assistant")[number % 2],
            "content": said,
            "timestamp": f"2026-11-01T10:{number % 60:02d}:00Z",
            "seconds_from_start": float(10 * number),
            "duration": 8.5,
        }
        for number in range(turns)
    ]
    times = {"created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-01T11:00:00Z"}
    events = [
        {"event_type": "system.replica_joined", "timestamp": "2026-11-01T10:00:00Z", "properties": {"face_id": "r1"}},
        {
            "event_type": "system.shutdown",
            "timestamp": "2026-11-01T11:00:00Z",
            "properties": {"shutdown_reason": "participant_left_timeout"},
        },
        {
            "event_type": "application.transcription_ready",
            "timestamp": "2026-11-01T11:00:01Z",
            "properties": {"transcript": transcript},
        },
    ]
    body = {"conversation_id": PLACE.decode(), "conversation_name": "A call", "status": "ended"}
    return json.dumps(body | times | {"events": events}).encode()


class Box:
    """What the server answers, made once: what it costs to make is not to be measured."""

    def __init__(self, conversations: int, turns: int) -> None:
        self._count = conversations
        self._body = one_conversation(turns)
        self.page = cache(self._page)

    def conversation(self, conversation_id: bytes) -> bytes:
        return self._body.replace(PLACE, conversation_id)

    def _page(self, path: str) -> bytes:
        query = dict(re.findall(r"(\w+)=(\d+)", path))
        first = (int(query.get("page", 1)) - 1) * int(query.get("limit", 10))
        numbers = range(self._count - 1 - first, max(-1, self._count - 1 - first - int(query.get("limit", 10))), -1)
        rows = [
            {
                "conversation_id": conversation_id(number),
                "status": "ended",
                "created_at": f"{FIRST + timedelta(seconds=10 * number):%Y-%m-%dT%H:%M:%SZ}",
                "updated_at": f"{FIRST + timedelta(seconds=10 * number + 3600):%Y-%m-%dT%H:%M:%SZ}",
            }
            for number in numbers
        ]
        return json.dumps({"data": rows, "total_count": self._count}).encode()


class Server(asyncio.Protocol):
    """Answers list and get as fast as Python can."""

    def __init__(self, box: Box, latency: float) -> None:
        self._box = box
        self._latency = latency

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        path = data[4 : data.index(b" ", 4)]
        if path.startswith(b"/v2/conversations/c"):
            body = self._box.conversation(path[18:31])
        else:
            body = self._box.page(path.decode())
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            len(body),
            body,
        )
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)
        else:
            self._transport.write(answer)


async def serve(conversations: int, turns: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    box = Box(conversations, turns)
    server = await loop.create_server(lambda: Server(box, latency), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


# The contenders. Each reads everything, and returns how many conversations that were.


def bare_loop(address: str, folder: Path, take: Callable[[str, bytes], None] = lambda *_: None) -> dict[str, float]:
    import aiohttp

    async def read() -> int:
        done = 0
        async with aiohttp.ClientSession(address, headers=KEY) as session:
            waiting: list[str] = []
            for page in itertools.count(1):
                async with session.get(f"/v2/conversations?limit=100&page={page}") as answer:
                    rows = (await answer.json())["data"]
                if not rows:
                    break
                waiting += [row["conversation_id"] for row in rows]

            async def work() -> None:
                nonlocal done
                while waiting:
                    each = waiting.pop()
                    async with session.get(f"/v2/conversations/{each}?verbose=true") as answer:
                        take(each, await answer.read())
                        done += 1

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return done

    return {"conversations": asyncio.run(read())}


def bare_loop_that_stores(address: str, folder: Path) -> dict[str, float]:
    """The bare loop, with another process that stores: the practical limit of what is stored as well."""
    from concurrent.futures import Future, ProcessPoolExecutor

    batch: list[tuple[str, bytes]] = []
    batches: list[Future[None]] = []
    with ProcessPoolExecutor(1) as elsewhere:

        def store() -> None:
            batches.append(elsewhere.submit(store_without_care, folder / "bare", batch[:]))
            batch.clear()

        def take(conversation: str, body: bytes) -> None:
            batch.append((conversation, body))
            if len(batch) == STORED_AT_A_TIME:
                store()

        told = bare_loop(address, folder, take)
        store()
        for each in batches:
            each.result()
    return told


STORED_AT_A_TIME = 128


def store_without_care(folder: Path, batch: list[tuple[str, bytes]]) -> None:
    """Write the objects of some conversations, and a line for each turn of them."""
    import msgspec

    folder.mkdir(exist_ok=True)
    with (folder / "turns.jsonl").open("ab") as lines:
        for conversation, body in batch:
            (folder / f"{conversation}.json").write_bytes(body)
            transcript = msgspec.json.decode(body)["events"][-1]["properties"]["transcript"]
            turns = [{"conversation_id": conversation, "turn_index": at, **turn} for at, turn in enumerate(transcript)]
            lines.write(msgspec.json.Encoder().encode_lines(turns))


def ours(address: str, folder: Path) -> dict[str, float]:
    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.settings import ClientSettings
    from airflow_provider_tavus.collect.local_store import LocalStore
    from airflow_provider_tavus.collect.outcome import Wanted
    from airflow_provider_tavus.collect.plan import Plan
    from airflow_provider_tavus.collect.run import CollectionRun

    wanted = Wanted(wait_for=("application.transcription_ready",), grace_period=600, settle_period=1800)

    async def read() -> Any:
        async with AsyncTavusClient(ClientSettings(api_key="test-key", base_url=address)) as client:
            plan = Plan(wanted=wanted, requests_in_flight=IN_FLIGHT)
            run = CollectionRun(client=client, store=LocalStore(folder), plan=plan)
            return await run.run()

    certificate = asyncio.run(read())
    assert certificate.complete
    return {"conversations": certificate.collected, "requests": certificate.requests}


def session_loop(address: str, folder: Path) -> dict[str, float]:
    import requests

    session = requests.Session()
    session.headers.update(KEY)
    ids: list[str] = []
    for page in itertools.count(1):
        rows = session.get(f"{address}/v2/conversations?limit=100&page={page}").json()["data"]
        if not rows:
            break
        ids += [row["conversation_id"] for row in rows]
    for each in ids:
        session.get(f"{address}/v2/conversations/{each}?verbose=true").json()
    return {"conversations": len(ids)}


def dlt_source(address: str, folder: Path) -> dict[str, float]:
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {
                "base_url": f"{address}/v2/",
                "headers": KEY,
                "paginator": {"type": "page_number", "base_page": 1, "total_path": None},
            },
            "resources": [
                {
                    "name": "list",
                    "endpoint": {"path": "conversations", "params": {"limit": 100}, "data_selector": "data"},
                },
                {
                    "name": "conversations",
                    "endpoint": {
                        "path": "conversations/{resources.list.conversation_id}",
                        "params": {"verbose": "true"},
                        "data_selector": "$",
                        "paginator": "single_page",
                    },
                },
            ],
        }
    )
    conversations = source.resources["conversations"]
    return {"conversations": sum(1 for _ in conversations)}


def airbyte_source(address: str, folder: Path) -> dict[str, float]:
    from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

    def stream(name: str, requester: dict[str, Any], retriever: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        return {
            "type": "DeclarativeStream",
            "name": name,
            "primary_key": "conversation_id",
            "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {
                    "type": "HttpRequester",
                    "url_base": address,
                    "http_method": "GET",
                    "request_headers": KEY,
                    **requester,
                },
                "record_selector": {
                    "type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": fields},
                },
                **retriever,
            },
        }

    listed = stream(
        "list",
        {"path": "/v2/conversations", "request_parameters": {"limit": "100"}},
        {
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": {
                    "type": "RequestOption",
                    "inject_into": "request_parameter",
                    "field_name": "page",
                },
                "pagination_strategy": {
                    "type": "PageIncrement",
                    "page_size": 100,
                    "start_from_page": 1,
                    "inject_on_first_request": True,
                },
            }
        },
        ["data"],
    )
    conversations = stream(
        "conversations",
        {
            "path": "/v2/conversations/{{ stream_partition.conversation_id }}",
            "request_parameters": {"verbose": "true"},
        },
        {
            "partition_router": {
                "type": "SubstreamPartitionRouter",
                "parent_stream_configs": [
                    {
                        "type": "ParentStreamConfig",
                        "parent_key": "conversation_id",
                        "partition_field": "conversation_id",
                        "stream": listed,
                    }
                ],
            }
        },
        [],
    )
    manifest = {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["conversations"]},
        "streams": [conversations],
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": IN_FLIGHT},
    }
    catalog = ConfiguredAirbyteCatalogSerializer.load(
        {
            "streams": [
                {
                    "stream": {"name": "conversations", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
                    "sync_mode": "full_refresh",
                    "destination_sync_mode": "append",
                }
            ]
        }
    )
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
    messages = source.read(logging.getLogger("airbyte"), {}, catalog, [])
    return {"conversations": sum(message.type.value == "RECORD" for message in messages)}


CONTENDERS: dict[str, Callable[[str, Path], dict[str, float]]] = {
    "bare loop": bare_loop,
    "bare, stored": bare_loop_that_stores,
    "ours": ours,
    "ours again": ours,
    "session": session_loop,
    "dlt": dlt_source,
    "airbyte": airbyte_source,
}


OURS = [
    "airflow_provider_tavus.collect.run",
    "airflow_provider_tavus.api.async_client",
    "airflow_provider_tavus.api.calls",
]
IMPORTED_ONCE = {
    "bare loop": ["aiohttp"],
    "bare, stored": ["aiohttp", "msgspec"],
    "ours": OURS,
    "ours again": OURS,
    "session": ["requests"],
    "dlt": ["dlt.sources.rest_api"],
    "airbyte": ["airbyte_cdk.sources.declarative.concurrent_declarative_source"],
}


def measured(contender: str, address: str, folder: str) -> dict[str, float]:
    """Let a contender read everything, in this process."""
    # What is imported once is not the cost of collecting.
    for module in IMPORTED_ONCE[contender]:
        importlib.import_module(module)
    began, cpu = time.monotonic(), time.process_time()
    told = CONTENDERS[contender](address, Path(folder))
    seconds = time.monotonic() - began
    itself, started = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return told | {
        "seconds": seconds,
        "cpu": time.process_time() - cpu + started.ru_utime + started.ru_stime,
        # Of what it has started, that of the largest.
        "memory": (itself.ru_maxrss + started.ru_maxrss) / 1024,
    }


PEERS = {"dlt": "dlt", "airbyte": "airbyte-cdk"}
"""What is installed in an environment of its own: not all of it can be had beside Airflow."""


def peers_python() -> Path:
    """Return the interpreter of the peers' environment, which is made on the first call."""
    environment = Path(__file__).resolve().parent.parent / ".matrix" / "collect-peers"
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS.values()], check=True)
    return python


def rows(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    """Run each contender in a process of its own, against a server in another; in each round, one after another."""
    size = [str(arguments.conversations), str(arguments.turns), str(arguments.latency)]
    with subprocess.Popen([sys.executable, __file__, "--serve", *size], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        try:
            for _ in range(arguments.rounds):
                # In memory, where that is to be had: how fast a disk makes files is not the question.
                with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
                    for contender in arguments.only or CONTENDERS:
                        yield contender, row(contender, address, folder)
        finally:
            server.terminate()


def row(contender: str, address: str, folder: str) -> dict[str, float]:
    python = peers_python() if contender in PEERS else sys.executable
    command = [python, __file__, "--child", contender, address, folder]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        raise RuntimeError(child.stderr[-3000:])
    told: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return told


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--conversations", type=int, default=5000)
    arguments.add_argument("--turns", type=int, default=60)
    arguments.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    arguments.add_argument("--rounds", type=int, default=1, help="of which each contender's fastest counts")
    arguments.add_argument("--only", choices=CONTENDERS, action="append", help="may be repeated")
    arguments.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.serve:
        asyncio.run(serve(int(asked.serve[0]), int(asked.serve[1]), float(asked.serve[2])))
        return
    if asked.child:
        print(json.dumps(measured(*asked.child)))
        return
    print(f"{asked.conversations} conversations of {asked.turns} turns, {asked.latency * 1000:g} ms of latency")
    print(" " * 13 + "".join(f"{title:>12}" for title in ("read", "a second", "of bare", "CPU s", "MiB", "requests")))
    best: dict[str, dict[str, float]] = {}
    for contender, told in rows(asked):
        if contender not in best or told["seconds"] < best[contender]["seconds"]:
            best[contender] = told
        print(line(contender, told, best.get("bare loop")), flush=True)
    if asked.rounds > 1:
        print(f"The best of {asked.rounds} rounds:")
        for contender, told in best.items():
            print(line(contender, told, best.get("bare loop")))


def line(contender: str, told: dict[str, float], bare: dict[str, float] | None) -> str:
    rate = told["conversations"] / told["seconds"]
    share = f"{rate * bare['seconds'] / bare['conversations']:>12.2f}" if bare else " " * 12
    requests = f"{told['requests']:>12.0f}" if "requests" in told else ""
    cost = f"{told['cpu']:>12.2f}{told['memory']:>12.0f}"
    return f"{contender:13}{told['conversations']:>12.0f}{rate:>12.0f}{share}{cost}{requests}"


if __name__ == "__main__":
    main()
