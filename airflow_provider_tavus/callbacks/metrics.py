"""What is told through Airflow's metrics (StatsD or OpenTelemetry, as Airflow is set up), if it can be told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from datetime import timedelta

log = logging.getLogger(__name__)


def count(name: str, times: int = 1) -> None:
    """Count something that happened."""
    try:
        Stats.incr(name, times)
    except Exception as fault:
        _could_not_be_told(name, fault)


def tell_time(name: str, duration: timedelta) -> None:
    """Tell how long something took."""
    try:
        Stats.timing(name, duration)
    except Exception as fault:
        _could_not_be_told(name, fault)


def _could_not_be_told(name: str, fault: Exception) -> None:
    # Whoever is to hear it cannot be reached or is not set up: that would be said at every request.
    log.debug("The metric %s could not be told: %s", name, type(fault).__name__)
