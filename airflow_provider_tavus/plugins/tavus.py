"""What Airflow loads of this provider in each of its processes: it imports next to nothing before it is asked for."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

log = logging.getLogger(__name__)


def _listeners() -> list[Any]:
    if not AIRFLOW_V_3_3_PLUS:
        # There is no state store for what it notes.
        return []
    from airflow_provider_tavus.plugins import emitted

    return [emitted]


class TavusPlugin(AirflowPlugin):
    """What notes the events of watchers, and the receiver of callbacks in the API server, if they are configured."""

    name = "tavus"
    listeners: list[Any] = _listeners()

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The receiver's app, made when the API server asks for it."""
        return fastapi_apps()


@cache
def fastapi_apps() -> list[dict[str, Any]]:
    """Return the receiver's app where callbacks are configured, and else none."""
    from airflow_provider_tavus.api.errors import ConfigurationError
    from airflow_provider_tavus.callbacks.settings import URL_PREFIX, CallbackSettings, callback_settings

    try:
        settings = callback_settings()
    except ConfigurationError as error:
        log.error("Callbacks are not received: %s", error)
        # They come all the same: without an app that refuses them, Airflow's log of requests has their tokens.
        settings = CallbackSettings(tokens=())
    if settings is None:
        return []
    if not AIRFLOW_V_3_3_PLUS:
        log.warning("Callbacks are not received: [tavus] callback_tokens is set, but they need Airflow 3.3 or later.")
        return []
    from airflow_provider_tavus.callbacks.receiver import make_receiver
    from airflow_provider_tavus.plugins.at_once import AtOnce

    return [
        {
            "app": make_receiver(settings, look_at=AtOnce().look_at),
            "url_prefix": URL_PREFIX,
            "name": "Callbacks of Tavus",
        }
    ]
