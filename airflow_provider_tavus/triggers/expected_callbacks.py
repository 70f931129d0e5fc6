"""Callbacks that should have come: that some are lost is normal, that many are is worth knowing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_provider_tavus.triggers import metrics
from airflow_provider_tavus.triggers.callbacks import prepare
from airflow_provider_tavus.triggers.shared_poll import CLOCKS_DIFFER_BY

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.triggers.callbacks import CallbackReader
    from airflow_provider_tavus.triggers.discovery import Listed

LATEST = 600.0
"""Seconds after which a callback that has not come counts as lost. Not documented by Tavus: a guess."""


class ExpectedCallbacks:
    """
    The conversations that became ready and whose callback about it has not been seen.

    :param reader: knows which callbacks came.
    :param tell: called with a sentence if some did not.
    """

    def __init__(self, reader: CallbackReader, tell: Callable[[str], object]) -> None:
        self._reader = reader
        self._tell = tell
        self._ready_at: dict[str, float] = {}

    def expect(self, listed: Listed, ready_at: float) -> None:
        """Expect the callback of a conversation that became ready at ``ready_at`` (epoch seconds), if it has one."""
        settings = prepare()
        if settings is not None and settings.leads_here(listed.callback_url) and math.isfinite(ready_at):
            self._ready_at[listed.conversation_id] = ready_at

    def count_the_lost(self, now: float) -> None:
        """Tell of those that should have come by now, and expect them no longer."""
        late = [one for one, ready_at in self._ready_at.items() if now > ready_at + LATEST]
        lost = [one for one in late if self._reader.last_came(one) < self._ready_at[one] - CLOCKS_DIFFER_BY]
        for conversation_id in late:
            del self._ready_at[conversation_id]
        if lost:
            metrics.callbacks_never_came(len(lost))
            self._tell(f"{len(lost)} callbacks never came; their conversations were found by polling.")
