"""Reads connections in a triggerer: patiently, and once for all waits whose key was refused."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_tavus.api.errors import UnreadableConnectionError
from airflow_provider_tavus.hooks.tavus import TavusHook

if TYPE_CHECKING:
    from airflow_provider_tavus.api.settings import ClientSettings

log = logging.getLogger(__name__)

PAUSES_BEFORE_THE_CONNECTION = (1.0, 5.0, 15.0)
"""Seconds before each further try to read a connection: a hiccup of a secrets backend is to end no wait."""


async def read_settings(tavus_conn_id: str) -> ClientSettings:
    """
    Read a connection, and ride out that it cannot be read for a moment.

    :raises ConfigurationError: if it cannot be read, or cannot be used.
    """
    for pause in PAUSES_BEFORE_THE_CONNECTION:
        try:
            return await TavusHook(tavus_conn_id).resolve_settings()
        except UnreadableConnectionError as error:
            log.warning("%s Trying again in %.0f s.", error, pause)
        await asyncio.sleep(pause)
    return await TavusHook(tavus_conn_id).resolve_settings()


_readings: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ClientSettings], asyncio.Task[ClientSettings]]]
_readings = WeakKeyDictionary()
"""Connections that are being read again; what was refused is a part of the key, so that teams never mix."""


async def settings_after_a_refusal(tavus_conn_id: str, refused: ClientSettings) -> ClientSettings:
    """
    Read a connection again whose key was refused: once for all waits that ask meanwhile.

    :param refused: what it was when it was last read.
    :raises ConfigurationError: if it cannot be read any more, or cannot be used.
    """
    readings = _readings.setdefault(asyncio.get_running_loop(), {})
    key = (tavus_conn_id, refused)
    if key not in readings:
        readings[key] = asyncio.create_task(read_settings(tavus_conn_id))
        # Nobody may be left who takes its error.
        readings[key].add_done_callback(lambda task: readings.pop(key) and (task.cancelled() or task.exception()))
    # Shielded: others wait for the same one.
    return await asyncio.shield(readings[key])
