from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tavus.api.errors import ConfigurationError, TavusError, UnreadableConnectionError
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook


def test_a_connection_that_cannot_be_read_is_left_to_the_tasks_retries() -> None:
    with pytest.raises(UnreadableConnectionError), permanent_errors_are_not_retried():
        TavusHook("nowhere").get_conversation("c1")


@pytest.mark.parametrize("kind", [TavusError, ConfigurationError])
def test_what_no_retry_can_cure_fails_the_task_at_once(kind: type[TavusError]) -> None:
    with pytest.raises(AirflowFailException, match="it is wrong"), permanent_errors_are_not_retried():
        raise kind("it is wrong")
