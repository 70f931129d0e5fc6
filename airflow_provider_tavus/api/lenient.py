"""How single values are read, whatever type Tavus sent them in: what cannot be read is None, and never an error."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

LATEST_EPOCH_SECONDS = 1e11
"""An epoch above this (the year 5138) is in milliseconds."""


def text(value: Any) -> str | None:
    """Return a text; a number is its digits."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """Return a finite number; a text may hold one."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def moment(value: Any) -> datetime | None:
    """Return a moment in UTC, from ISO 8601 (in UTC unless it says otherwise) or from epoch seconds or milliseconds."""
    try:
        if isinstance(value, str) and (_begins_like_a_date(value) or not number(value)):
            # RFC 3339 allows a small t and z, Python no small z.
            moment = datetime.fromisoformat(value.strip().upper())
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if (epoch := number(value)) is not None:
            return datetime.fromtimestamp(epoch / 1000 if epoch > LATEST_EPOCH_SECONDS else epoch, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _begins_like_a_date(value: str) -> bool:
    # No number does, and asking for one costs more than reading the date.
    return value[4:5] == "-" and value[:4].isdigit()
