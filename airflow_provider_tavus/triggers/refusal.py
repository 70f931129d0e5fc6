"""How a trigger refuses its arguments."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_tavus.api.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnusableTriggerError(InvalidArgumentError, TypeError):
    """
    A trigger cannot be made of its arguments.

    A triggerer that builds a stored trigger takes a TypeError for a fault of that one; anything else ends it, with the
    waits of all others, and again after each restart.
    """


@contextmanager
def fails_alone() -> Iterator[None]:
    """Let a trigger refuse arguments so that it does no others any harm."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise UnusableTriggerError(str(error)) from None
