"""Ends a call when the task that created it is cancelled or fails, if its author wants that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.api.errors import InvalidRequestError
from airflow_provider_tavus.conversations.cancellation import nobody_joined

if TYPE_CHECKING:
    from airflow_provider_tavus.api.settings import ClientSettings
    from airflow_provider_tavus.conversations.cancellation import Cancellation

LONGEST_CONNECT, LONGEST_READ = 2.0, 4.0
"""Seconds: a process that is told to stop is killed soon after."""


def cancel_conversation(conversation_id: str, cancellation: Cancellation, settings: ClientSettings, log: Any) -> None:
    """
    Do what ``cancellation`` says to a call that goes on; best effort, within seconds, and never raising.

    :param settings: of the connection, read beforehand: a process that is told to stop may not be able to.
    """
    from airflow_provider_tavus.api import calls
    from airflow_provider_tavus.api.client import TavusClient

    if cancellation == "leave":
        log.info("Conversation %s goes on: the task leaves it alone.", conversation_id)
        return
    hurried = replace(
        settings,
        connect_timeout=min(settings.connect_timeout, LONGEST_CONNECT),
        read_timeout=min(settings.read_timeout, LONGEST_READ),
        retries=0,
    )
    try:
        with TavusClient(hurried) as client:
            if cancellation == "end_if_nobody_joined":
                conversation = client.send(calls.get_conversation(conversation_id, verbose=True))
                if not nobody_joined(conversation, datetime.now(UTC)):
                    log.info("Conversation %s goes on: somebody may be in it.", conversation_id)
                    return
            client.send(calls.end_conversation(conversation_id))
            log.info("Ended conversation %s.", conversation_id)
    except InvalidRequestError as refusal:
        log.info("Conversation %s could not be ended, or had ended before: %s", conversation_id, refusal)
    except Exception as fault:
        log.warning("Conversation %s could not be ended and may go on: %s", conversation_id, fault)
