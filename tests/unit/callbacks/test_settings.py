"""What Airflow's configuration says about callbacks, and what is not to be said of it."""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_tavus.api.errors import ConfigurationError
from airflow_provider_tavus.callbacks import settings
from airflow_provider_tavus.callbacks.settings import callback_settings

FIRST, SECOND = "first-token-aaaaaaaaaaaaaaaaaaaaaaaaa", "second-token-bbbbbbbbbbbbbbbbbbbbbbbb"


def configure(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/of-ours/")
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__TAVUS__{name.upper()}", value)


def test_callbacks_are_off_until_there_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert callback_settings() is None
    configure(monkeypatch, callback_tokens=" , ", callback_base_url="https://example.com")
    assert callback_settings() is None


def test_every_token_is_accepted_and_the_first_goes_into_new_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, callback_tokens=f"{FIRST}, {SECOND}")

    settings = callback_settings()

    assert settings is not None
    assert settings.tokens == (FIRST, SECOND)
    assert settings.callback_url == f"https://airflow.example.com/of-ours/tavus/callbacks/{FIRST}"
    assert settings.asset == "tavus_conversations"


def test_the_url_and_the_asset_can_be_others(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, callback_tokens=FIRST, callback_base_url="https://hooks.example.com", callback_asset="calls")
    settings = callback_settings()
    assert settings is not None
    assert settings.callback_url == f"https://hooks.example.com/tavus/callbacks/{FIRST}"
    assert settings.asset == "calls"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("short-canary", id="too short"),
        pytest.param("canary/" * 8, id="no part of a path"),
        pytest.param("canary " * 8, id="with spaces"),
        pytest.param("canäry" * 8, id="not ASCII"),
        pytest.param("canary" * 80, id="too long"),
    ],
)
def test_a_token_that_cannot_be_used_is_named_by_its_place_alone(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, callback_tokens=f"{FIRST},{token}")
    with pytest.raises(ConfigurationError, match=r"Token 2 .* 32 to 200 .*token_urlsafe") as refusal:
        callback_settings()
    assert "can" not in str(refusal.value).replace("cannot", "")


def test_a_command_that_fails_is_told_of_without_what_it_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str, **__: None) -> str:
        raise AirflowException(f"Cannot execute get-token. Error code is: 1. Output: {FIRST}")

    monkeypatch.setattr(settings, "conf", SimpleNamespace(get=fail))
    with pytest.raises(ConfigurationError, match=r"\[tavus\] callback_tokens cannot be read .* restart") as refusal:
        callback_settings()
    assert FIRST not in "".join(traceback.format_exception(refusal.value))


def test_no_representation_shows_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, callback_tokens=f"{FIRST},{SECOND}")
    settings = callback_settings()
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert FIRST not in shown
        assert SECOND not in shown


@pytest.mark.parametrize("url", ["airflow.example.com", "ftp://example.com", "//example.com"])
def test_a_base_url_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, callback_tokens=FIRST, callback_base_url=url)
    with pytest.raises(ConfigurationError, match="callback_base_url"):
        callback_settings()


@pytest.mark.parametrize("api_base_url", ["", "/airflow"])
def test_without_any_base_url_only_who_needs_it_fails(api_base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, callback_tokens=FIRST)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", api_base_url)
    settings = callback_settings()
    assert settings is not None
    with pytest.raises(ConfigurationError, match="callback_base_url"):
        _ = settings.callback_url
