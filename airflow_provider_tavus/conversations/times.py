"""Times as we hand them out."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(epoch_seconds: float) -> datetime:
    """Return a moment in UTC; what is later than a datetime can tell is the last second that it can."""
    return datetime.fromtimestamp(min(epoch_seconds, _LAST_SECOND), UTC)


_LAST_SECOND = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, such as ``2026-04-29T03:47:01Z``; None stays None."""
    # Imported only here: a DAG file does without. Python's own isoformat() takes five times as long.
    import msgspec

    return str(msgspec.to_builtins(moment)) if moment else None
