"""A fake Tavus, and Airflow connections that lead to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.testing import TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY_KEY = "canary-key-4f1d9c"


@pytest.fixture
def box() -> Iterator[TavusBox]:
    with TavusBox.in_thread(api_key=CANARY_KEY) as box:
        yield box


@pytest.fixture
def connect(box: TavusBox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define an Airflow connection to the box; keywords replace its fields, ``extra`` adds to its extra."""

    def define(conn_id: str = "tavus_default", extra: dict[str, Any] | None = None, **fields: Any) -> str:
        connection = {"conn_type": "tavus", "host": box.base_url, "password": box.api_key, "extra": extra or {}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection | fields))
        return conn_id

    define()
    return define
