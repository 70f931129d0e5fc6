"""From our errors to Airflow's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tavus.api.errors import TavusError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def permanent_errors_are_not_retried() -> Iterator[None]:
    """Raise AirflowFailException for what the task's retries cannot cure; let transient faults through."""
    try:
        yield
    except TavusError as error:
        if error.transient:
            raise
        raise AirflowFailException(str(error)) from error
