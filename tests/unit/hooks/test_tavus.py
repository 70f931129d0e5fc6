from __future__ import annotations

import asyncio
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_tavus.api import calls
from airflow_provider_tavus.api.errors import AuthenticationError, ConfigurationError, UnreadableConnectionError
from airflow_provider_tavus.get_provider_info import get_provider_info
from airflow_provider_tavus.hooks import tavus
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("connect")


def test_a_conversation_is_read_with_the_connections_key(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)

    conversation = TavusHook().get_conversation("c1", verbose=True)

    assert conversation.status == "ended"
    assert conversation.events


def test_sync_and_async_code_have_the_same_settings(connect: Callable[..., str]) -> None:
    conn_id = connect("tavus_other", extra={"read_timeout": 7, "retries": 1, "verify": False})

    async def resolved() -> Any:
        return await TavusHook(conn_id).resolve_settings()

    assert asyncio.run(resolved()) == TavusHook(conn_id).settings


async def test_an_async_client_is_made_and_reads(box: TavusBox) -> None:
    box.add(Script.active(), conversation_id="c1")

    async with await TavusHook().get_async_conn() as client:
        assert (await client.send(calls.get_conversation("c1"))).status == "active"


async def test_the_connection_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = TavusHook()
    settings = await hook.resolve_settings()
    monkeypatch.delenv("AIRFLOW_CONN_TAVUS_DEFAULT")

    assert hook.settings is settings
    assert await hook.resolve_settings() is settings


@pytest.mark.parametrize(
    "stored", [None, '{"conn_type": "tavus", "password": "canary-key"', '{"no_such": "canary-key"}']
)
def test_a_connection_that_is_missing_or_malformed_says_what_may_be_the_matter(
    stored: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stored:
        monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", stored)
    says = "connection 'nowhere' cannot be read: there is none, it is malformed, or the secrets backend could not be"

    with pytest.raises(UnreadableConnectionError, match=f"{says} reached.*add one of type 'tavus'") as sync:
        _ = TavusHook("nowhere").settings
    with pytest.raises(UnreadableConnectionError, match=says):
        asyncio.run(TavusHook("nowhere").resolve_settings())
    works, message = TavusHook("nowhere").test_connection()

    assert (works, message) == (False, str(sync.value))
    assert "canary" not in message


@pytest.mark.parametrize("extra", ["[1]", "5", '"text"'])
def test_an_extra_that_is_no_object_is_said_wherever_the_connection_is_read(
    extra: Any, connect: Callable[..., str], box: TavusBox
) -> None:
    hook = TavusHook(connect(extra=extra))
    try:
        hook.get_connection(hook.tavus_conn_id)
    except AirflowNotFoundException:
        pytest.skip("this Airflow itself refuses such a connection")
    says = "Extra of connection 'tavus_default' must be a JSON object"

    with pytest.raises(ConfigurationError, match=says):
        _ = hook.settings
    with pytest.raises(ConfigurationError, match=says):
        asyncio.run(hook.resolve_settings())
    works, message = hook.test_connection()

    assert not works
    assert message.startswith(says)
    assert box.count() == 0


def test_a_wrong_key_is_an_error_of_its_own(connect: Callable[..., str]) -> None:
    with pytest.raises(AuthenticationError, match="password field"):
        TavusHook(connect("tavus_wrong", password="wrong")).get_conversation("c1")


def test_a_good_connection_tests_well_and_only_reads(box: TavusBox) -> None:
    assert TavusHook().test_connection() == (True, f"{box.base_url} accepts the API key.")
    assert [(request.method, request.route, request.query["limit"]) for request in box.requests] == [
        ("GET", "list", "1")
    ]


@pytest.mark.parametrize(
    "trouble",
    [{"status": 401}, {"status": 403}, {"status": 500}, {"kind": "html"}, {"kind": "reset"}, {"kind": "not_json"}],
    ids=str,
)
def test_a_bad_connection_tests_badly_at_once_and_its_message_holds_no_key(
    trouble: dict[str, Any], box: TavusBox
) -> None:
    box.trouble(route="list", **trouble)

    works, message = TavusHook().test_connection()

    assert not works
    assert box.api_key not in message
    assert box.count() == 1


@pytest.mark.parametrize("trouble", [{"kind": "hang"}, {"kind": "drip", "seconds": 3}], ids=str)
def test_a_test_of_the_connection_ends_in_time(
    trouble: dict[str, Any], box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tavus, "LONGEST_TEST", 0.5)
    box.trouble(route="list", **trouble)
    began = time.monotonic()

    works, message = TavusHook().test_connection()

    assert not works
    assert "did not answer within" in message
    assert time.monotonic() - began < 5


def test_the_promised_bound_of_a_test_is_ten_seconds() -> None:
    assert tavus.LONGEST_TEST <= 10


def test_a_host_that_swallows_packets_is_bounded_too(
    connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tavus, "LONGEST_TEST", 0.5)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        held = [socket.socket() for _ in range(3)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        works, _ = TavusHook(connect("tavus_full", host=f"http://127.0.0.1:{port}")).test_connection()
        for one in held:
            one.close()
    assert not works


def test_old_airflows_are_told_the_same_form_as_new_ones() -> None:
    info: Any = get_provider_info()
    (described,) = info["connection-types"]

    behaviour = TavusHook.get_ui_field_behaviour()

    assert behaviour["relabeling"] == described["ui-field-behaviour"]["relabeling"]
    assert behaviour["hidden_fields"] == described["ui-field-behaviour"]["hidden-fields"]
    assert (described["connection-type"], described["hook-name"]) == (TavusHook.conn_type, TavusHook.hook_name)


def test_the_forms_own_fields_are_those_that_the_connection_reads() -> None:
    pytest.importorskip("flask_appbuilder", reason="the form of this Airflow is drawn from data")
    info: Any = get_provider_info()
    (described,) = info["connection-types"]

    assert TavusHook.get_connection_form_widgets().keys() == described["conn-fields"].keys()


def test_the_button_test_sends_what_the_connection_can_read(connect: Callable[..., str]) -> None:
    pytest.importorskip("flask_appbuilder", reason="the form of this Airflow is drawn from data")
    from wtforms import Form

    fields = {"verify": TavusHook.get_connection_form_widgets()["verify"]}
    box = str(type("OwnFields", (Form,), fields)().verify)
    (sent,) = re.findall(r' checked .*value="(\w+)"', box)

    connect(extra={"verify": sent})
    assert TavusHook().settings.verify
    accepted, _ = TavusHook().test_connection()
    assert accepted
