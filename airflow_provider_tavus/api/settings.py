"""What a client needs to know to reach one Tavus account."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_tavus import __version__

PUBLIC_BASE_URL = "https://tavusapi.com"
"""The server of the public API (https://docs.tavus.io/openapi.yaml, ``servers``)."""


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """
    One account and the way to it.

    Hashable and compared by value, so that what is shared in a process can be keyed by the account itself and
    not by the name of a connection. Its repr shows neither the key nor the proxy, which may hold a password.

    :param api_key: sent as the ``x-api-key`` header.
    :param base_url: scheme, host, port and path in front of ``/v2``.
    :param connect_timeout: seconds for making a connection.
    :param read_timeout: seconds for the whole answer, once connected.
    :param retries: how often a read is repeated, at most, after a transient fault.
    :param proxy: URL of an HTTP proxy; None leaves it to the environment (``HTTPS_PROXY``, ``NO_PROXY``).
    :param ca_bundle: path of a file of CA certificates to trust instead of the usual ones.
    :param verify: whether to check the server's certificate at all.
    """

    api_key: str = field(repr=False)
    base_url: str = PUBLIC_BASE_URL
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    retries: int = 3
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    verify: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {"x-api-key": self.api_key, "User-Agent": f"airflow-provider-tavus/{__version__}"}
