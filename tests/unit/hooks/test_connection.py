from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.errors import ConfigurationError
from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.hooks.connection import client_settings
from airflow_provider_tavus.hooks.tavus import TavusHook

KEY = "canary-key-4f1d9c"


def settings(extra: dict[str, Any] | None = None, **fields: Any) -> ClientSettings:
    connection = Connection(conn_id="tavus_default", conn_type="tavus", **({"password": KEY} | fields))
    return client_settings(connection, extra or {})


def test_a_key_is_all_that_is_needed() -> None:
    assert settings() == ClientSettings(api_key=KEY)
    assert settings().base_url == "https://tavusapi.com"


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "tavusapi.com"}, "https://tavusapi.com"),
        ({"host": "https://tavusapi.com"}, "https://tavusapi.com"),
        ({"host": "https://tavusapi.com/"}, "https://tavusapi.com"),
        ({"host": "https://tavusapi.com/v2"}, "https://tavusapi.com"),
        ({"host": "tavusapi.com/v2/"}, "https://tavusapi.com"),
        ({"host": "TavusAPI.com"}, "https://tavusapi.com"),
        ({"host": "tavusapi.com", "port": 0}, "https://tavusapi.com"),
        ({"host": "tavusapi.com", "port": 8443}, "https://tavusapi.com:8443"),
        ({"host": "tavusapi.com:8443"}, "https://tavusapi.com:8443"),
        ({"host": "http://127.0.0.1:8099/v2"}, "http://127.0.0.1:8099"),
        ({"host": "http://127.0.0.1", "port": 8099}, "http://127.0.0.1:8099"),
        ({"host": "127.0.0.1", "port": 8099, "schema": "http"}, "http://127.0.0.1:8099"),
        ({"host": "127.0.0.1", "port": 8099, "schema": "HTTP"}, "http://127.0.0.1:8099"),
        ({"host": "https://tavusapi.com", "schema": "HTTPS"}, "https://tavusapi.com"),
        ({"host": "https://tavusapi.com", "schema": "v2"}, "https://tavusapi.com"),
        ({"host": "https://gateway.example/tavus/v2"}, "https://gateway.example/tavus"),
        ({"host": "http://[::1]:8099"}, "http://[::1]:8099"),
        ({"host": "  tavusapi.com  "}, "https://tavusapi.com"),
        ({"host": ""}, "https://tavusapi.com"),
        ({"host": None}, "https://tavusapi.com"),
    ],
    ids=str,
)
def test_the_base_url_is_read_however_it_was_entered(fields: dict[str, Any], base_url: str) -> None:
    assert settings(**fields).base_url == base_url


@pytest.mark.parametrize(
    "host", ["ftp://tavusapi.com", "https://", "https://tavusapi.com?x=1", "http://host:port", "https://user:pw@host"]
)
def test_a_host_that_is_no_base_url_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="'tavus_default' is no base URL"):
        settings(host=host)


@pytest.mark.parametrize("port", [-5, 65_536, 99_999])
def test_a_port_that_there_is_not_is_refused_by_its_name(port: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"port of connection 'tavus_default' must be .* not {port}"):
        settings(host="tavusapi.com", port=port)


@pytest.mark.parametrize("password", [None, "", "   "])
def test_a_connection_without_a_key_is_refused(password: str | None) -> None:
    with pytest.raises(ConfigurationError, match="has no API key: put it into the password field"):
        settings(password=password)


@pytest.mark.parametrize("password", [f"{KEY}\nX: y", f"{KEY}\x00", f"{KEY}é"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_quoted(password: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings(password=password)
    assert KEY not in str(refused.value)


def test_white_space_around_a_pasted_key_is_dropped() -> None:
    assert settings(password=f" {KEY}\n").api_key == KEY


@pytest.mark.parametrize("as_text", [False, True], ids=["typed", "as text"])
def test_every_extra_is_read_typed_or_as_text(as_text: bool) -> None:
    extra = {
        "connect_timeout": 1.5,
        "read_timeout": 20,
        "retries": 0,
        "proxy": "http://proxy.example:3128",
        "ca_bundle": "/etc/ca.pem",
        "verify": False,
    }

    read = settings({name: str(value) for name, value in extra.items()} if as_text else extra)

    assert {name: getattr(read, name) for name in extra} == extra


@pytest.mark.parametrize("empty", [None, ""])
def test_what_the_form_leaves_empty_keeps_its_default(empty: Any) -> None:
    names = ["connect_timeout", "read_timeout", "retries", "proxy", "ca_bundle", "verify"]

    assert settings(dict.fromkeys(names, empty)) == settings()


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        ({"connect_timeout": 0}, "a number of seconds above 0"),
        ({"read_timeout": "nan"}, "a number of seconds above 0"),
        ({"read_timeout": "soon"}, "a number"),
        ({"read_timeout": True}, "a number"),
        ({"retries": -1}, "a whole number, 0 or more"),
        ({"retries": 1.5}, "a whole number, 0 or more"),
        ({"verify": "perhaps"}, "true or false"),
        ({"proxy": "user:secret@proxy"}, "the URL of an HTTP proxy"),
        ({"proxy": "http://:secret@"}, "the URL of an HTTP proxy"),
        ({"proxy": "http://user:secret@proxy:31280000"}, "the URL of an HTTP proxy"),
        ({"ca_bundle": 7}, "a text"),
    ],
    ids=str,
)
def test_an_extra_that_cannot_be_used_is_named(extra: dict[str, Any], wanted: str) -> None:
    (name,) = extra
    with pytest.raises(
        ConfigurationError, match=f"Extra '{name}' of connection 'tavus_default' must be {wanted}"
    ) as refused:
        settings(extra)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("extra", [["secret"], 5, "secret", True, None], ids=repr)
def test_an_extra_that_is_no_object_is_said_and_not_shown(extra: Any) -> None:
    connection = Connection(conn_id="tavus_default", conn_type="tavus", password=KEY)
    with pytest.raises(
        ConfigurationError, match="Extra of connection 'tavus_default' must be a JSON object, such as"
    ) as refused:
        client_settings(connection, extra)
    assert "secret" not in str(refused.value)


def test_an_extra_that_nothing_reads_is_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert settings({"readtimeout": 5, "retries": 1}).retries == 1
    assert "readtimeout" in caplog.text
    assert "retries" not in caplog.text


def test_neither_key_nor_proxy_is_in_the_repr_of_the_settings() -> None:
    shown = repr(settings({"proxy": "http://user:secret@proxy.example"}))

    assert KEY not in shown
    assert "secret" not in shown


FIELDS = st.fixed_dictionaries(
    {"password": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)},
    optional={
        "host": st.sampled_from(["tavusapi.com", "http://127.0.0.1", "https://gateway.example/tavus", "10.0.0.7"]),
        "port": st.sampled_from([0, 443, 8099]),
        "extra": st.fixed_dictionaries(
            {},
            optional={
                "read_timeout": st.integers(1, 99),
                "retries": st.integers(0, 9),
                "verify": st.booleans(),
                "proxy": st.just("http://user:p%40ss@proxy.example:3128"),
            },
        ),
    },
)


@given(FIELDS)
def test_uri_json_and_environment_say_the_same(fields: dict[str, Any]) -> None:
    extra = fields.get("extra", {})
    direct = Connection(conn_id="c", conn_type="tavus", **{**fields, "extra": json.dumps(extra)})
    expected = client_settings(direct, direct.extra_dejson)

    with pytest.MonkeyPatch.context() as environment:
        for value in (direct.get_uri(), json.dumps({"conn_type": "tavus", **fields})):
            environment.setenv("AIRFLOW_CONN_TAVUS_ROUND_TRIP", value)
            assert TavusHook("tavus_round_trip").settings == expected
