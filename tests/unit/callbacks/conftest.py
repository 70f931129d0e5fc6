"""A receiver of callbacks in a process of its own, over a real Airflow database."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from receiver_process import ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS = ["first-canary-0123456789abcdefghijkl", "second-canary-0123456789abcdefghijk"]


@pytest.fixture(scope="session")
def running_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceiverProcess]:
    if not AIRFLOW_V_3_3_PLUS:
        pytest.skip("callbacks are received from Airflow 3.3 on")
    with ReceiverProcess(tmp_path_factory.mktemp("receiver"), tokens=TOKENS) as receiver:
        yield receiver


@pytest.fixture
def receiver(running_receiver: ReceiverProcess) -> Iterator[ReceiverProcess]:
    """It is well before each test and after it, has asked nobody for anything, and has not logged a token."""
    yield running_receiver
    running_receiver.set_active(True)
    last = f"c-last-of-{uuid4()}"
    assert running_receiver.post(TOKENS[0], b'{"conversation_id": "%s"}' % last.encode()) == 200
    assert running_receiver.wait_for([last])
    assert running_receiver.connections() == []
    assert "canary" not in running_receiver.log()
