"""The list of conversations, complete although its pages shift while they are read."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from airflow_provider_tavus.api.errors import UnreadableAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.api.models import Conversation, ConversationPage

    Send = Callable[[Call[ConversationPage]], ConversationPage]

MOST_SWEEPS = 20
"""So often the pages are read from the first to the last, at most."""
QUIET_SWEEPS = 3
"""After so many in a row that brought nothing new, the list is complete although no two of them agree."""


def every_conversation(send: Send, *, status: str | None = None) -> Iterator[Conversation]:
    """
    Yield every conversation of the list once.

    New, ended and deleted conversations move others from one page to another between two requests, and the order
    is undocumented. So all pages are read again until two readings agree on what was there at the beginning; a
    list that fits on one page is read once.

    :param send: carries out a call.
    :param status: ``active`` or ``ended``; None for all.
    :raises UnreadableAnswerError: if the list never comes to rest.
    """
    seen: set[str] = set()
    newcomers: set[str] = set()
    before: set[str] | None = None
    newest = None
    quiet_sweeps = 0
    for _ in range(MOST_SWEEPS):
        sweep = _Sweep(send, status)
        news = []
        for row in sweep.rows():
            if row.conversation_id not in seen:
                seen.add(row.conversation_id)
                news.append(row)
                yield row
        if sweep.was_one_page:
            return
        if before is None:
            newest = max((row.created_at for row in news if row.created_at), default=None)
        else:
            # What was created since is no sign that something was missed.
            newcomers |= {row.conversation_id for row in news if newest and row.created_at and row.created_at > newest}
            missed = any(row.conversation_id not in newcomers for row in news)
            quiet_sweeps = 0 if missed else quiet_sweeps + 1
            if sweep.ids - newcomers == before - newcomers or quiet_sweeps == QUIET_SWEEPS:
                return
        before = sweep.ids
    raise UnreadableAnswerError("The list of conversations changes faster than it can be read.")


class _Sweep:
    """One reading of all pages, from the first to the last."""

    def __init__(self, send: Send, status: str | None) -> None:
        self._send = send
        self._status = status
        self.ids: set[str] = set()
        self.was_one_page = False

    def rows(self) -> Iterator[Conversation]:
        from airflow_provider_tavus.api import calls

        for number in count(1):
            page = self._send(calls.list_conversations(page=number, status=self._status))
            yield from page.rows
            known = len(self.ids)
            self.ids |= {row.conversation_id for row in page.rows}
            complete = page.total_count is not None and len(self.ids) >= page.total_count
            self.was_one_page = complete and number == 1
            # A short page is no proof of the end: Tavus may cap the limit without a word.
            if complete or len(self.ids) == known:
                return
