"""What Airflow loads of the provider, and when it receives callbacks."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_tavus.callbacks import settings
from airflow_provider_tavus.get_provider_info import get_provider_info
from airflow_provider_tavus.plugins import tavus
from airflow_provider_tavus.plugins.tavus import TavusPlugin, fastapi_apps

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary-token-0123456789abcdefghijkl"


@pytest.fixture(autouse=True)
def made_anew() -> Iterator[None]:
    fastapi_apps.cache_clear()
    yield
    fastapi_apps.cache_clear()


def test_airflow_finds_it_by_its_entry_point_and_by_the_provider() -> None:
    (entry_point,) = entry_points(group="airflow.plugins", name="tavus")
    assert entry_point.load() is TavusPlugin
    assert get_provider_info()["plugins"] == [
        {"name": "tavus", "plugin-class": "airflow_provider_tavus.plugins.tavus.TavusPlugin"}
    ]


def test_the_receiver_is_off_until_it_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    assert TavusPlugin().fastapi_apps == []
    assert not caplog.records


async def answer_of(app: Any, token: str) -> tuple[int, str]:
    """Return the status of an app's answer to a callback, and the path that Airflow logs of it."""
    scope = {"type": "http", "method": "POST", "path": f"/callbacks/{token}", "headers": [], "query_string": b""}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"conversation_id": "c1"}'}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], str(scope["path"])


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="callbacks are received from Airflow 3.3 on")
async def test_with_a_token_that_cannot_be_used_all_are_refused_and_none_is_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_TOKENS", CANARY[:20])
    (app,) = TavusPlugin().fastapi_apps
    for token in (CANARY[:20], CANARY, ""):
        status, path = await answer_of(app["app"], token)
        assert status == 404
        assert "canary" not in path
    assert "Token 1 of [tavus] callback_tokens cannot be used" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="callbacks are received from Airflow 3.3 on")
def test_a_token_that_cannot_be_read_is_told_of_and_is_in_no_other_plugins_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: str, **__: None) -> str:
        raise AirflowException("The secrets backend cannot be reached.")

    monkeypatch.setattr(settings, "conf", SimpleNamespace(get=fail))
    assert len(TavusPlugin().fastapi_apps) == 1
    assert "[tavus] callback_tokens cannot be read" in caplog.text


def test_below_airflow_3_3_it_stays_off_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tavus, "AIRFLOW_V_3_3_PLUS", False)
    assert TavusPlugin().fastapi_apps == []
    assert not caplog.records

    fastapi_apps.cache_clear()
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_TOKENS", CANARY)
    with caplog.at_level(logging.INFO):
        assert TavusPlugin().fastapi_apps == []
    (line,) = caplog.records
    assert "Airflow 3.3 or later" in line.getMessage()


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="callbacks are received from Airflow 3.3 on")
def test_once_configured_there_is_one_app_however_often_airflow_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TAVUS__CALLBACK_TOKENS", CANARY)
    (app,) = TavusPlugin().fastapi_apps
    assert app["url_prefix"] == "/tavus"
    assert TavusPlugin().fastapi_apps[0]["app"] is app["app"]
    assert CANARY not in repr(app)


def test_to_load_it_costs_a_process_nothing_that_it_does_not_need() -> None:
    code = """
import sys
from airflow.providers.common.compat.sdk import AirflowPlugin
before = set(sys.modules)
from airflow_provider_tavus.plugins.tavus import TavusPlugin
TavusPlugin()
print(*sorted(set(sys.modules) - before))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(output.splitlines()[-1].split())
    assert {name for name in loaded if name.startswith("airflow_provider_tavus")} <= {
        "airflow_provider_tavus",
        "airflow_provider_tavus.plugins",
        "airflow_provider_tavus.plugins.emitted",
        "airflow_provider_tavus.plugins.tavus",
    }
    # What Airflow itself loads for a listener, wherever it is, is next to nothing.
    assert {name for name in loaded - {"pluggy"} if not name.startswith("airflow")} == set()
