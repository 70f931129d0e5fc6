"""The hook: from an Airflow connection of type ``tavus`` to clients of the Tavus API."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_tavus.api.errors import AuthenticationError, TavusError, UnreadableConnectionError
from airflow_provider_tavus.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.api.client import TavusClient
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.api.settings import ClientSettings

T = TypeVar("T")

LONGEST_TEST = 10.0
"""Seconds that a test of the connection may take, at most."""


class TavusHook(BaseHook):
    """
    Talk to Tavus with the credentials of an Airflow connection.

    The connection's password is the API key and its host the base URL (default: the public API). Its extra may
    hold ``connect_timeout`` and ``read_timeout`` (seconds), ``retries``, ``proxy``, ``ca_bundle`` and ``verify``.
    Sync and async code get clients with the same settings.

    :param tavus_conn_id: the id of the connection.
    """

    conn_name_attr = "tavus_conn_id"
    default_conn_name = "tavus_default"
    conn_type = "tavus"
    hook_name = "Tavus"

    def __init__(self, tavus_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tavus_conn_id = tavus_conn_id

    @cached_property
    def settings(self) -> ClientSettings:
        """
        The connection, read and checked once.

        :raises UnreadableConnectionError: if Airflow finds no such connection.
        :raises ConfigurationError: if it cannot be used.
        """
        return self._read_connection()

    async def resolve_settings(self) -> ClientSettings:
        """Do what :attr:`settings` does, for a trigger: without blocking its event loop."""
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        from airflow_provider_tavus.hooks.connection import client_settings

        if "settings" not in self.__dict__:
            try:
                connection = await get_async_connection(self.tavus_conn_id, hook=self)
            except AirflowNotFoundException:
                raise self._unreadable_connection() from None
            self.__dict__["settings"] = client_settings(connection, await get_async_extra_dejson(connection))
        return self.settings

    @cached_property
    def _client(self) -> TavusClient:
        from airflow_provider_tavus.api.client import TavusClient

        return TavusClient(self.settings)

    def get_conn(self) -> TavusClient:
        """Return the hook's client, whose session all its calls share; close it, or use it in a ``with`` block."""
        return self._client

    async def get_async_conn(self) -> AsyncTavusClient:
        """Return an async client, to be used in an ``async with`` block."""
        import asyncio

        settings = await self.resolve_settings()
        # The first import of an HTTP library and the reading of a CA bundle would stop every other trigger.
        return await asyncio.to_thread(make_async_client, settings)

    def send(self, call: Call[T], *, repeat: bool = True, before_each_request: Callable[[], None] = lambda: None) -> T:
        """
        Carry out a call of :mod:`airflow_provider_tavus.api.calls`.

        A key that is refused may have been rotated since the connection was read, so that is read again, once.

        :param repeat: whether transient faults are ridden out here; False where the caller comes back anyway.
        :param before_each_request: called before the request is sent, and again before it is repeated.
        :raises TavusError: the subclass says why.
        """
        try:
            return self._client.send(call, repeat=repeat, before_each_request=before_each_request)
        except AuthenticationError:
            fresh_settings = self._read_connection()
            if fresh_settings == self.settings:
                raise
            self.close()
            self.__dict__["settings"] = fresh_settings
            return self._client.send(call, repeat=repeat, before_each_request=before_each_request)

    def close(self) -> None:
        """Close the session, if there is one; a later call opens another."""
        if (client := self.__dict__.pop("_client", None)) is not None:
            client.close()

    def get_conversation(self, conversation_id: str, *, verbose: bool = False) -> Conversation:
        """
        Read one conversation.

        :param conversation_id: which one.
        :param verbose: with its events; only there are the transcript, the shutdown reason and the analysis.
        :raises TavusError: the subclass says why.
        """
        from airflow_provider_tavus.api import calls

        return self.send(calls.get_conversation(conversation_id, verbose=verbose))

    def test_connection(self) -> tuple[bool, str]:
        """
        Ask Tavus for one row of the list, which costs nothing and changes nothing; takes at most 10 seconds.

        :return: whether Tavus accepted the key, and a sentence for the user.
        """
        try:
            settings = self.settings
        except TavusError as error:
            return False, str(error)
        return _ask_in_time(settings)

    def _read_connection(self) -> ClientSettings:
        from airflow_provider_tavus.hooks.connection import client_settings

        try:
            connection = self.get_connection(self.tavus_conn_id)
        except AirflowNotFoundException:
            raise self._unreadable_connection() from None
        return client_settings(connection, connection.extra_dejson)

    def _unreadable_connection(self) -> UnreadableConnectionError:
        return UnreadableConnectionError(
            f"The Airflow connection {self.tavus_conn_id!r} cannot be read: there is none, it is malformed, or the "
            "secrets backend could not be reached. If there is none, add one of type 'tavus' with the API key as its "
            "password."
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Describe the connection form to Airflow below 3.2; newer ones read the provider's metadata."""
        behaviour: dict[str, Any] = _connection_type()["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Describe the form's own fields to Airflow below 3.2; newer ones read the provider's metadata."""
        from wtforms import BooleanField, PasswordField, StringField

        try:
            from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        except ModuleNotFoundError:
            # Airflow 3 draws the fields itself and is told their kinds alone; Airflow 2 always has it.
            BS3PasswordFieldWidget = BS3TextFieldWidget = lambda: None  # noqa: N806

        def widget(field: dict[str, Any]) -> Any:
            schema, about = field["schema"], {"label": field["label"], "description": field["description"]}
            if "boolean" in schema["type"]:
                return BooleanField(**about, default=schema["default"])
            if schema.get("format") == "password":
                return PasswordField(**about, widget=BS3PasswordFieldWidget())
            return StringField(**about, widget=BS3TextFieldWidget())

        return {name: widget(field) for name, field in _connection_type()["conn-fields"].items()}


def _connection_type() -> dict[str, Any]:
    """Return the form as the metadata describes it, so that old and new Airflows cannot differ."""
    provider_info: Any = get_provider_info()
    (connection_type,) = provider_info["connection-types"]
    return dict(connection_type)


def make_async_client(settings: ClientSettings) -> AsyncTavusClient:
    """Make a client; to be called outside the event loop's thread."""
    # The calls are what it will be asked for next: their models are built when they are first imported.
    from airflow_provider_tavus.api import calls  # noqa: F401
    from airflow_provider_tavus.api.async_client import AsyncTavusClient

    return AsyncTavusClient(settings)


def _ask_in_time(settings: ClientSettings) -> tuple[bool, str]:
    # A thread, because name resolution and a server that drips obey no socket time-out.
    import queue
    import threading

    answers: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_ask(settings)), name="tavus-test-connection", daemon=True).start()
    try:
        return answers.get(timeout=LONGEST_TEST)
    except queue.Empty:
        return (
            False,
            f"{settings.base_url} did not answer within {LONGEST_TEST:.0f} s. Check the host, port and proxy.",
        )


def _ask(settings: ClientSettings) -> tuple[bool, str]:
    from airflow_provider_tavus.api import calls
    from airflow_provider_tavus.api.client import TavusClient

    try:
        with TavusClient(settings) as client:
            client.send(calls.list_conversations(limit=1), repeat=False)
    except TavusError as error:
        return False, str(error)
    return True, f"{settings.base_url} accepts the API key."
