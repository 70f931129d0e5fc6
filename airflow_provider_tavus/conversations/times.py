"""Times as we hand them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, such as ``2026-04-29T03:47:01Z``; None stays None."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
