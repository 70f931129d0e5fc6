"""How Tavus writes a moment down."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(moment: float, *, fractions: bool = True) -> str:
    """
    Return a moment as ISO 8601 in UTC.

    :param moment: epoch seconds.
    :param fractions: with microseconds; bodies come with and without.
    """
    written = datetime.fromtimestamp(moment, tz=UTC)
    return written.isoformat(timespec="microseconds" if fractions else "seconds").removesuffix("+00:00") + "Z"
