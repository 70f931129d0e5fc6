"""Whose certificates are trusted: the same for the sync and the async client."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from airflow_provider_tavus.api.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_tavus.api.settings import ClientSettings

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Environment variables that requests takes a CA bundle from, where it is given none."""


def tls_context(settings: ClientSettings) -> ssl.SSLContext | bool:
    """
    Return what aiohttp is to trust: what requests would.

    :return: False if no certificate is to be checked.
    :raises ConfigurationError: if the CA bundle cannot be read.
    """
    if not settings.verify:
        return False
    bundle, named_by = _bundle(settings)
    try:
        if Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as fault:
        # ssl.SSLError is one, too.
        raise ConfigurationError(
            f"The CA bundle {bundle!r}, which {named_by} names, cannot be read ({type(fault).__name__}): it must be a "
            "file of certificates in PEM format, on every machine that runs tasks or triggers."
        ) from None


def names_a_bundle(settings: ClientSettings) -> bool:
    """Say whether the connection or the environment names a CA bundle of its own."""
    return settings.verify and _bundle(settings)[0] != DEFAULT_CA_BUNDLE_PATH


def _bundle(settings: ClientSettings) -> tuple[str, str]:
    if settings.ca_bundle:
        return settings.ca_bundle, "the connection's extra 'ca_bundle'"
    for variable in VARIABLES:
        if bundle := os.environ.get(variable):
            return bundle, f"the environment variable {variable}"
    return DEFAULT_CA_BUNDLE_PATH, "certifi"
