"""A receiver of callbacks in a process of its own, over a real Airflow database, with a watcher of a fake Tavus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from receiver_process import ReceiverProcess

from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS = ["first-canary-0123456789abcdefghijkl", "second-canary-0123456789abcdefghijk"]


@pytest.fixture(scope="session")
def watched_tavus() -> Iterator[TavusBox]:
    """What the watcher watches: an account with a single conversation, which is ready."""
    with TavusBox.in_thread(api_key="canary-key-watched") as box:
        box.add(Script.finished(), conversation_id="c-ready", created_at=time.time() - 3600)
        yield box


@pytest.fixture(scope="session")
def running_receiver(tmp_path_factory: pytest.TempPathFactory, watched_tavus: TavusBox) -> Iterator[ReceiverProcess]:
    if not AIRFLOW_V_3_3_PLUS:
        pytest.skip("callbacks are received from Airflow 3.3 on")
    connection = {"conn_type": "tavus", "host": watched_tavus.base_url, "password": watched_tavus.api_key}
    with ReceiverProcess(tmp_path_factory.mktemp("receiver"), tokens=TOKENS, connection=connection) as receiver:
        # Before anything that is unknown: many of those let it rest. And what it takes to look is in its memory then.
        receiver.post(TOKENS[0], b'{"conversation_id": "c-ready"}')
        receiver.wait_for_event("c-ready")
        yield receiver


@pytest.fixture
def receiver(running_receiver: ReceiverProcess, watched_tavus: TavusBox) -> Iterator[ReceiverProcess]:
    """It is well before each test and after it, has connected to Tavus alone, and has logged neither token nor key."""
    yield running_receiver
    running_receiver.set_active(True)
    last = f"c-last-of-{uuid4()}"
    assert running_receiver.post(TOKENS[0], b'{"conversation_id": "%s"}' % last.encode()) == 200
    assert running_receiver.wait_for([last])
    port = watched_tavus.base_url.rpartition(":")[2]
    assert [each for each in running_receiver.connections() if "127.0.0.1" not in each or port not in each] == []
    assert "canary" not in running_receiver.log()
