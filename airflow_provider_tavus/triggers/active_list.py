"""The list of active conversations, asked as cheaply as it can be, and never believed more than it deserves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.triggers import metrics

if TYPE_CHECKING:
    from airflow_provider_tavus.api.async_client import AsyncTavusClient
    from airflow_provider_tavus.api.models import ConversationPage

ROWS_ASKED_FOR = 100
"""What the vendor's own client asks for; Tavus may send fewer."""


@dataclass(frozen=True, slots=True)
class ActiveNow:
    """
    What the list said.

    :param ids: the conversations on it.
    :param complete: whether all its pages came; only then is a missing conversation a sign of anything.
    """

    ids: set[str]
    complete: bool


class ActiveList:
    """
    Asks for the list, and learns from each answer what the next one will cost.

    Conversations that end while the pages are read shift later ones to pages that were read before. They then
    seem to be missing, which costs a read and no more, so the pages are read once.
    """

    def __init__(self, client: AsyncTavusClient) -> None:
        self._client = client
        self.pages = 1
        """How many requests the list takes, as far as is known."""

    async def ask(self, most_pages: int) -> ActiveNow:
        """
        Return the conversations that are active now.

        :param most_pages: give up after so many; ``pages`` then tells what the whole would have cost.
        """
        from airflow_provider_tavus.api import calls

        ids: set[str] = set()
        rows_seen = 0
        for page_number in range(1, most_pages + 1):
            metrics.the_list_was_asked()
            call = calls.list_conversations(limit=ROWS_ASKED_FOR, page=page_number, status="active")
            try:
                page = await self._client.send(call, repeat=False)
            except TavusError as error:
                raise ListFailedError(ids) from error
            ids.update(row.conversation_id for row in page.rows if row.status == "active")
            rows_seen += len(page.rows)
            if page_number == 1:
                self.pages = _pages(page)
            if not page.rows or (page.total_count is not None and rows_seen >= page.total_count):
                self.pages = page_number
                return ActiveNow(ids, complete=True)
        return ActiveNow(ids, complete=False)


class ListFailedError(Exception):
    """The list could not be had to its end; the cause says why."""

    def __init__(self, ids: set[str]) -> None:
        super().__init__("The list of active conversations could not be had.")
        self.ids = ids


def _pages(first: ConversationPage) -> int:
    if not first.rows or first.total_count is None:
        return 1
    return max(1, math.ceil(first.total_count / len(first.rows)))
