from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_tavus.testing import ManualClock, TavusBox

START = 1_790_000_000.0

Call = Callable[..., requests.Response]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def box(clock: ManualClock) -> Iterator[TavusBox]:
    with TavusBox.in_thread(clock=clock) as box:
        yield box


@pytest.fixture
def call(box: TavusBox) -> Iterator[Call]:
    """Send a request with the right key; the client is requests, nothing of ours."""
    with requests.Session() as session:
        session.headers["x-api-key"] = box.api_key

        def send(method: str, path: str, **kwargs: Any) -> requests.Response:
            return session.request(method, box.base_url + path, **{"timeout": 5} | kwargs)

        yield send


@pytest.fixture
def read(call: Call) -> Callable[[str], dict[str, Any]]:
    """Read a conversation verbosely."""

    def verbose(conversation_id: str) -> dict[str, Any]:
        answer = call("GET", f"/v2/conversations/{conversation_id}?verbose=true")
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body

    return verbose
