"""The destination is a bucket of a real S3 server, spoken to over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from collecting import collect
from ports import free_ports

from airflow_provider_tavus.collect.forget import forget
from airflow_provider_tavus.collect.store import ObjectStore
from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator
from airflow_provider_tavus.operators.forget_conversation import ForgetConversationOperator
from airflow_provider_tavus.testing import ManualClock, Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Iterator

s3fs = pytest.importorskip("s3fs", reason="checked by `make s3`")
pytest.importorskip("moto", reason="checked by `make s3`")

NOW = 1_800_000_000.0
DAY = 86_400.0
STARTS_WITHIN = 60.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of S3, as a process of its own."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + STARTS_WITHIN
            while time.monotonic() < deadline:
                with suppress(OSError), urllib.request.urlopen(address):
                    break
                time.sleep(0.1)
            yield address
        finally:
            server.terminate()


@pytest.fixture
def bucket(address: str) -> Any:
    bucket = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=address)
    bucket.mkdir("lake")
    yield bucket
    bucket.rm("lake", recursive=True)


@pytest.fixture
def box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(clock=ManualClock(NOW)) as box:
        yield box


def objects(bucket: Any) -> dict[str, bytes]:
    bucket.invalidate_cache()
    return {
        name.removeprefix("lake/tavus/"): bucket.cat_file(name)
        for name in bucket.find("lake/tavus")
        if "/_" not in name
    }


def test_a_bucket_is_filled_once_and_forgets(box: TavusBox, bucket: Any) -> None:
    ids = [box.add(Script.finished(), created_at=NOW - DAY - number * 3600) for number in range(30)]
    store = ObjectStore(bucket, "lake/tavus")

    assert collect(box, store).collected == len(ids)
    box.advance(1)
    # Switched on later.
    assert collect(box, store, renderings=("vtt",)).collected == 0
    first = objects(bucket)
    assert sum(name.startswith("renderings/") for name in first) == len(ids)
    stored = {json.loads(content)["conversation_id"] for name, content in first.items() if name.startswith("raw/")}
    rows = [
        line for name, content in first.items() if name.startswith("conversations/") for line in content.splitlines()
    ]
    assert stored == set(ids)
    assert sorted(json.loads(row)["conversation_id"] for row in rows) == sorted(ids)

    box.forget_requests()
    assert collect(box, store, renderings=("vtt",)).collected == 0
    assert objects(bucket) == first

    # A run that reads back what earlier runs have stored.
    late = box.add(Script.finished(), created_at=NOW - DAY - 1800)
    assert collect(box, store).collected == 1
    assert box.count("get") == 1
    forget(late, store=store, clock=box.clock.now)
    assert objects(bucket) == first


def test_the_operators_reach_a_bucket_by_its_airflow_connection(
    box: TavusBox, bucket: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tavus = {"conn_type": "tavus", "host": box.base_url, "password": box.api_key}
    # The bucket's own key and address are told by nothing else.
    lake = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"endpoint_url": address}}
    lake["extra"]["region_name"] = "us-east-1"  # type: ignore[index]
    monkeypatch.setenv("AIRFLOW_CONN_TAVUS_DEFAULT", json.dumps(tavus))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_LAKE", json.dumps(lake))
    ids = [box.add(Script.finished(), created_at=time.time() - DAY - number * 3600) for number in range(5)]
    arguments: Any = {"destination": "s3://aws_lake@lake/tavus"}
    context: Any = {}

    collect = CollectConversationsOperator(task_id="collect", sweep_interval=0.0, **arguments)
    assert collect.execute(context)["collected"] == len(ids)
    assert collect.execute(context)["collected"] == 0
    assert {name.rsplit("/", 1)[-1] for name in objects(bucket) if name.startswith("raw/")} == {
        f"{each}.json" for each in ids
    }

    ForgetConversationOperator(task_id="forget", conversation_id=ids[0], **arguments).execute(context)
    assert collect.execute(context)["forgotten"] == 1
    assert not any(ids[0] in name or ids[0].encode() in content for name, content in objects(bucket).items())
