"""What is counted of callbacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

if not AIRFLOW_V_3_3_PLUS:
    pytest.skip("callbacks are received from Airflow 3.3 on", allow_module_level=True)

from airflow_provider_tavus.callbacks import metrics
from airflow_provider_tavus.callbacks.receiver import make_receiver
from airflow_provider_tavus.callbacks.settings import CallbackSettings

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "canary-0123456789abcdefghijklmnopqrst"


async def status_of_the_answer(app: Any, token: str) -> int:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"conversation_id": "c1"}'}

    async def send(message: Any) -> None:
        sent.append(message)

    path = f"/callbacks/{token}"
    await app({"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}, receive, send)
    return int(sent[0]["status"])


def use(stats: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "Stats", SimpleNamespace(incr=stats))


async def answers() -> list[int]:
    app = make_receiver(CallbackSettings(tokens=(TOKEN,)), write=lambda _: True)
    return [await status_of_the_answer(app, token) for token in (TOKEN, "another")]


async def test_what_came_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    use(lambda name, _: told.append(name), monkeypatch)

    assert await answers() == [200, 404]
    assert told == ["tavus.callbacks.received", "tavus.callbacks.refused"]


async def test_callbacks_are_answered_although_they_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> None:
        raise OSError("no StatsD server there")

    use(unreachable, monkeypatch)

    assert await answers() == [200, 404]
