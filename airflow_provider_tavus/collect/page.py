"""
A page of the list, as far as collection needs it.

Every page is read twice where the list has several, and to make models of all that its rows hold costs more than all
that is done with them afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.api.lenient import moment, text
from airflow_provider_tavus.collect.index import Row
from airflow_provider_tavus.conversations.events import has_ended

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.api.models import Conversation

# Beyond it, a float does not tell every integer, and numbers are read as floats elsewhere.
_TotalCount = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page of the list; rows that name no conversation are left out, as in :class:`.ConversationPage`.

    :param row_count: how many rows there were, with those that name no conversation.
    :param total_count: how many there are on all pages, if Tavus says.
    """

    rows: list[Row]
    row_count: int
    total_count: int | None


class _SentRow(msgspec.Struct):
    conversation_id: Any = None
    status: Any = None
    created_at: Any = None
    updated_at: Any = None


class _SentPage(msgspec.Struct):
    data: list[_SentRow]
    total_count: _TotalCount | None = None


_decode = msgspec.json.Decoder(_SentPage).decode


def look_at_page(number: int, *, limit: int) -> Call[Page]:
    """
    Read one page of the list, the first of which is 1.

    :param limit: how many rows at most; Tavus may send fewer although there are more.
    """
    from airflow_provider_tavus.api.calls import Call, list_conversations

    call = list_conversations(limit=limit, page=number)
    return Call(call.method, call.path, page_of, query=call.query, read=read_page)


def read_page(body: bytes) -> Any:
    """
    Return of a page's JSON what collection needs; of what is no ordinary page, all that it holds.

    :raises ValueError: as :func:`.json_text.read_json` does.
    """
    try:
        page = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return read_json(body)
    # From its end, a body is searched in a third of the time.
    return read_json(body) if body.rfind(b"\\u0000") >= 0 else page


def page_of(sent: Any) -> Page:
    """
    Return the page of what :func:`read_page` returned.

    :raises ValueError: if it is none.
    """
    if isinstance(sent, _SentPage):
        rows = [_row(row) for row in sent.data if isinstance(row.conversation_id, str)]
        return Page(rows, len(sent.data), sent.total_count)
    from airflow_provider_tavus.api.models import ConversationPage

    page = ConversationPage.from_json(sent)
    return Page([_row_of(row) for row in page.rows], page.row_count, page.total_count)


def _row(sent: _SentRow) -> Row:
    status = sent.status.strip().lower() if isinstance(sent.status, str) else text(sent.status)
    # As in conversations.events, of what no model was made of.
    ended = status not in {None, "", "active"}
    return Row(sent.conversation_id, ended, _epoch(moment(sent.created_at)), _epoch(moment(sent.updated_at)))


def _row_of(conversation: Conversation) -> Row:
    return Row(
        conversation.conversation_id,
        has_ended(conversation),
        _epoch(conversation.created_at),
        _epoch(conversation.updated_at),
    )


def _epoch(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
