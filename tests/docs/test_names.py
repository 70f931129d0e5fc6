"""Whatever the documents name exists, and whatever a user may pass is told of."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import fields
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseSensorOperator
from airflow_releases import RELEASES
from snippets import DOCUMENTS, PROJECT

from airflow_provider_tavus import __version__
from airflow_provider_tavus.api import errors
from airflow_provider_tavus.api.answers import ERROR_BY_STATUS
from airflow_provider_tavus.collect.certificate import Certificate
from airflow_provider_tavus.collect.entry import STATES, Entry
from airflow_provider_tavus.conversations.readiness import REASONS, SAYS_IT_WILL_NOT_COME, Verdict
from airflow_provider_tavus.conversations.secrets import LEFT_OUT_UNLESS_NAMED
from airflow_provider_tavus.get_provider_info import get_provider_info
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator
from airflow_provider_tavus.operators.conversation import GetConversationOperator
from airflow_provider_tavus.operators.create_conversation import CreateConversationOperator
from airflow_provider_tavus.operators.delete_conversation import DeleteConversationOperator
from airflow_provider_tavus.operators.end_conversation import EndConversationOperator
from airflow_provider_tavus.operators.forget_conversation import ForgetConversationOperator
from airflow_provider_tavus.operators.list_conversations import ListConversationsOperator
from airflow_provider_tavus.sensors.conversation import ConversationSensor
from airflow_provider_tavus.triggers.conversation import ConversationTrigger
from airflow_provider_tavus.triggers.event import ConversationEventTrigger

PAGES = {document.name: document.read_text() for document in DOCUMENTS}
DESCRIBED = [
    ("waiting.md", ConversationSensor),
    ("waiting.md", ConversationTrigger),
    ("get-conversation.md", GetConversationOperator),
    ("create-conversation.md", CreateConversationOperator),
    ("end-delete-list.md", EndConversationOperator),
    ("end-delete-list.md", DeleteConversationOperator),
    ("end-delete-list.md", ListConversationsOperator),
    ("collection.md", CollectConversationsOperator),
    ("collection.md", ForgetConversationOperator),
    ("events.md", ConversationEventTrigger),
]
OF_EVERY_SENSOR = (
    "mode",
    "timeout",
    "poke_interval",
    "exponential_backoff",
    "max_wait",
    "soft_fail",
    "never_fail",
    "silent_fail",
    "execution_timeout",
)


def arguments(of: type) -> set[str]:
    return set(inspect.signature(of).parameters) - {"kwargs"}


def tables(page: str) -> list[dict[str, list[str]]]:
    """The tables of a page, each with its rows by the word in their first cell."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
        found.append({row[0].strip("`"): row for row in rows})
    return found


@pytest.mark.parametrize(("page", "described"), DESCRIBED)
def test_a_guide_has_a_table_of_exactly_the_arguments(page: str, described: type) -> None:
    assert any(table.keys() == arguments(described) for table in tables(PAGES[page]))


@pytest.mark.parametrize(("page", "described"), DESCRIBED)
def test_the_tables_tell_the_real_defaults(page: str, described: type) -> None:
    (table,) = [table for table in tables(PAGES[page]) if table.keys() == arguments(described)]
    for name, parameter in inspect.signature(described).parameters.items():
        if name == "kwargs" or parameter.default is None or name == "deferrable":
            continue
        told = table[name][2].strip("`").strip('"')
        expected = parameter.default
        if expected is inspect.Parameter.empty:
            assert told == "required", name
        elif isinstance(expected, tuple):
            assert told in {repr(expected), repr(expected).replace("'", '"')}, name
        else:
            assert told == (f"{expected:g}" if isinstance(expected, float) else str(expected)), name


def test_the_sensors_guide_tells_of_what_every_sensor_takes() -> None:
    of_the_base = set(inspect.signature(BaseSensorOperator).parameters)
    for name in OF_EVERY_SENSOR:
        assert f"`{name}" in PAGES["waiting.md"], name
        assert name in of_the_base or name == "execution_timeout"


def test_the_connections_guide_has_exactly_the_extras_of_the_form() -> None:
    provider_info: Any = get_provider_info()
    extras = provider_info["connection-types"][0]["conn-fields"].keys()
    assert any(table.keys() == extras for table in tables(PAGES["connection.md"]))


def test_the_connections_guide_tells_the_real_defaults() -> None:
    from airflow_provider_tavus.api.settings import PUBLIC_BASE_URL, ClientSettings

    (extras,) = [table for table in tables(PAGES["connection.md"]) if "read_timeout" in table]
    for name in ("connect_timeout", "read_timeout", "retries"):
        assert float(extras[name][2].strip("`")) == getattr(ClientSettings, name)
    assert f"`{PUBLIC_BASE_URL}`" in PAGES["connection.md"]
    assert TavusHook.default_conn_name in PAGES["connection.md"]


def test_the_table_of_errors_has_every_error_and_tells_what_becomes_of_it() -> None:
    (table,) = [table for table in tables(PAGES["get-conversation.md"]) if "ServerError" in table]
    groups = {errors.TavusError, errors.TransportError, errors.ApiError}
    known = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.TavusError) and kind not in groups
    }
    assert table.keys() == known.keys()
    for name, kind in known.items():
        # Without a connection there is no client.
        by_the_client = kind.transient and not issubclass(kind, errors.ConfigurationError)
        assert table[name][2:4] == ["yes" if by_the_client else "no", "yes" if kind.transient else "no"], name
    for status, kind in ERROR_BY_STATUS.items():
        assert str(status) in table[kind.__name__][1], status


def test_the_reasons_and_the_keys_of_a_verdict_are_all_told() -> None:
    told = tables(PAGES["waiting.md"])
    assert any(table.keys() == REASONS.keys() for table in told)
    assert any(table.keys() == Verdict("c1", "waiting", None, ()).as_plain().keys() for table in told)
    on_one_line = " ".join(PAGES["waiting.md"].split())
    for wanted, instead in SAYS_IT_WILL_NOT_COME.items():
        assert f"`{instead}` instead of `{wanted}`" in on_one_line


def test_the_keys_of_certificate_and_ledger_and_the_states_are_all_told() -> None:
    told = [{key.strip("` ") for name in table for key in name.split(",")} for table in tables(PAGES["collection.md"])]
    for described in ({field.name for field in fields(Certificate)}, {*Entry.__struct_fields__}):
        assert described in told
    assert set(STATES) in told


def test_what_is_left_out_is_told() -> None:
    left_out = LEFT_OUT_UNLESS_NAMED | {"webhook_url` of events"}
    assert any(table.keys() == left_out for table in tables(PAGES["get-conversation.md"]))


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_is_named_can_be_imported(page: str) -> None:
    for module in set(re.findall(r"airflow_provider_tavus(?:\.[a-z_]+)+", PAGES[page])):
        importlib.import_module(module)


@pytest.mark.parametrize("page", PAGES)
def test_every_class_that_is_named_exists(page: str) -> None:
    modules = [
        ".".join(file.relative_to(PROJECT).with_suffix("").parts)
        for room in ("api", "collect", "conversations", "hooks", "operators", "sensors", "triggers")
        for file in (PROJECT / "airflow_provider_tavus" / room).glob("*.py")
        # Nor what needs pyarrow, which is not beside every Airflow.
        if file.stem not in {"__init__", "parquet"}
    ]
    known = {name for module in modules for name in vars(importlib.import_module(module))}
    for name in set(re.findall(r"`([A-Z]\w+(?:Error|Exception|Operator|Sensor|Trigger|Hook|Timeout))`", PAGES[page])):
        assert name in known, name


def test_the_versions_told_are_those_that_are_tested() -> None:
    (table,) = [table for table in tables(PAGES["README.md"]) if "3.3" in table]
    for release in RELEASES:
        assert table.pop(release.minor)[1].endswith(".".join(map(str, release.newest_python)))
    assert not table


def test_the_changelog_has_an_entry_for_this_version() -> None:
    assert f"\n## {__version__} " in PAGES["CHANGELOG.md"]
