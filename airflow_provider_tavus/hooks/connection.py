"""From an Airflow connection of type ``tavus`` to the settings of a client."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_tavus.api.errors import ConfigurationError
from airflow_provider_tavus.api.settings import PUBLIC_BASE_URL, ClientSettings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


KNOWN_EXTRAS = frozenset({"connect_timeout", "read_timeout", "retries", "proxy", "ca_bundle", "verify"})

SCHEMES = frozenset({"http", "https"})
LAST_PORT = 65_535

TICKED = "y"
"""As the button Test of Airflow 2.11 sends a box that is ticked."""

log = logging.getLogger(__name__)


def client_settings(connection: Connection, extra: Any) -> ClientSettings:
    """
    Read the settings out of a connection.

    :param connection: password = API key, host, port and schema = base URL.
    :param extra: the connection's extra, decoded: Airflow decodes whatever JSON it is. What the form leaves empty
        counts as absent.
    :raises ConfigurationError: naming the field that cannot be used, never its secret value.
    """
    if not isinstance(extra, Mapping):
        raise ConfigurationError(
            f'Extra of connection {connection.conn_id!r} must be a JSON object, such as {{"read_timeout": 60}}.'
        )
    read = _Extra(str(connection.conn_id), extra)
    if unknown := sorted(extra.keys() - KNOWN_EXTRAS):
        log.warning("Connection %r has extras that nothing reads: %s.", connection.conn_id, ", ".join(unknown))
    return ClientSettings(
        api_key=_api_key(connection),
        base_url=_base_url(connection),
        connect_timeout=read.seconds("connect_timeout", ClientSettings.connect_timeout),
        read_timeout=read.seconds("read_timeout", ClientSettings.read_timeout),
        retries=read.count("retries", ClientSettings.retries),
        proxy=read.proxy(),
        ca_bundle=read.text("ca_bundle"),
        verify=read.flag("verify", ClientSettings.verify),
    )


def _api_key(connection: Connection) -> str:
    key = (connection.password or "").strip()
    if not key:
        raise ConfigurationError(f"Connection {connection.conn_id!r} has no API key: put it into the password field.")
    if not (key.isascii() and key.isprintable()):
        # Both HTTP libraries would refuse such a header with a message that quotes the key.
        raise ConfigurationError(
            f"The API key of connection {connection.conn_id!r} has characters that no key has, such as a line "
            "break: copy it again into the password field."
        )
    return key


def _base_url(connection: Connection) -> str:
    """
    Put the base URL together from host, port and schema.

    Accepted are a host alone or a whole URL, with or without ``/v2``. Airflow's URI form splits a URL: the
    scheme or the path then stands in ``schema``.
    """
    host = (connection.host or "").strip()
    schema = (connection.schema or "").strip().strip("/")
    if not host:
        return PUBLIC_BASE_URL
    scheme = schema.lower() if schema.lower() in SCHEMES else None
    if "://" not in host:
        host = f"{scheme or 'https'}://{host}"
    try:
        url = urlsplit(host)
        # Airflow's form saves an empty port as 0.
        port = url.port or connection.port or None
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in SCHEMES or not url.hostname or url.query or url.fragment or url.username:
        raise ConfigurationError(
            f"The host of connection {connection.conn_id!r} is no base URL: give a host name or a URL such as "
            f"{PUBLIC_BASE_URL}, or leave it empty for that."
        )
    if port is not None and not 0 < port <= LAST_PORT:
        raise ConfigurationError(
            f"The port of connection {connection.conn_id!r} must be from 1 to {LAST_PORT}, or empty, not {port}."
        )
    path = url.path or (f"/{schema}" if schema and not scheme else "")
    hostname = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{hostname}{f':{port}' if port else ''}{path.rstrip('/').removesuffix('/v2')}"


def _is_http_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        # To ask for the port is to have it checked.
        return text.startswith(("http://", "https://")) and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


class _Extra:
    """The fields of a connection's extra, checked: values come typed from JSON, and as text from URIs and forms."""

    def __init__(self, conn_id: str, fields: Mapping[str, Any]) -> None:
        self._conn_id = conn_id
        self._fields = {name: value for name, value in fields.items() if value not in (None, "")}

    def text(self, name: str) -> str | None:
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise self._refusal(name, "a text")
        return value

    def seconds(self, name: str, default: float) -> float:
        value = self._number(name, default)
        if not (math.isfinite(value) and value > 0):
            raise self._refusal(name, "a number of seconds above 0")
        return value

    def count(self, name: str, default: int) -> int:
        value = self._number(name, default)
        if not (value >= 0 and value.is_integer()):
            raise self._refusal(name, "a whole number, 0 or more")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._fields.get(name, default)
        word = str(value).strip().lower()
        if word not in {"true", TICKED, "false"}:
            raise self._refusal(name, "true or false")
        return word != "false"

    def proxy(self) -> str | None:
        proxy = self.text("proxy")
        if proxy is not None and not _is_http_url(proxy):
            raise self._refusal("proxy", "the URL of an HTTP proxy, such as http://proxy.example.com:3128")
        return proxy

    def _number(self, name: str, default: float) -> float:
        value = self._fields.get(name, default)
        try:
            if isinstance(value, bool):
                raise TypeError
            return float(value)
        except (TypeError, ValueError):
            raise self._refusal(name, "a number") from None

    def _refusal(self, name: str, wanted: str) -> ConfigurationError:
        return ConfigurationError(f"Extra {name!r} of connection {self._conn_id!r} must be {wanted}.")
