"""The calls of the Tavus API, each described once; the clients only carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from airflow_provider_tavus.api.ids import checked_conversation_id
from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.api.models import Conversation, ConversationPage
from airflow_provider_tavus.api.outline import read_outline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """
    One call, ready to be carried.

    :param path: below the base URL, percent-encoded.
    :param parse: turns the JSON of a successful answer, None if it was empty, into the result; raises ValueError
        if it is another's.
    :param body: what is sent as JSON, if anything is; kept out of the repr because it can hold secrets.
    :param conversation_id: the conversation that the call is about, for errors.
    :param repeatable: whether it may be sent again when it is not known whether it arrived.
    :param read: returns the JSON that a body holds, as far as ``parse`` needs it; raises ValueError if it holds none.
    """

    method: str
    path: str
    parse: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    conversation_id: str | None = None
    repeatable: bool = True
    read: Callable[[bytes], Any] = read_json

    def __str__(self) -> str:
        """Say which call it is, as an error or a log line names it."""
        return f"{self.method} {self.path}"


def get_conversation(conversation_id: str, *, verbose: bool = False) -> Call[Conversation]:
    """
    Read one conversation (https://docs.tavus.io/api-reference/conversations/get-conversation).

    :param conversation_id: which one.
    :param verbose: with its events; only there are the transcript, the shutdown reason and the analysis.
    :raises InvalidArgumentError: if this cannot be an id.
    """
    return _get(conversation_id, read_json, verbose=verbose)


def look_at_conversation(conversation_id: str) -> Call[Conversation]:
    """
    Read what a verdict on a conversation needs: its status, its times, and its events without what was said or seen.

    :param conversation_id: which one.
    :raises InvalidArgumentError: if this cannot be an id.
    """
    return _get(conversation_id, read_outline, verbose=True)


def _get(conversation_id: str, read: Callable[[bytes], Any], *, verbose: bool) -> Call[Conversation]:
    return Call(
        "GET",
        f"/v2/conversations/{quote(checked_conversation_id(conversation_id), safe='')}",
        partial(_the_one_asked_for, conversation_id),
        # The text "true": Python's True would go out as "True", which is not documented to work.
        query={"verbose": "true"} if verbose else {},
        conversation_id=conversation_id,
        read=read,
    )


def _the_one_asked_for(conversation_id: str, body: Any) -> Conversation:
    conversation = Conversation.from_json(body)
    if conversation.conversation_id != conversation_id:
        raise ValueError("The answer is about another conversation.")
    return conversation


def list_conversations(*, limit: int = 100, page: int = 1, status: str | None = None) -> Call[ConversationPage]:
    """
    Read one page of the list (https://docs.tavus.io/api-reference/conversations/get-conversations).

    :param limit: how many at most; Tavus may send fewer although there are more.
    :param page: which page, counted from 1.
    :param status: ``active`` or ``ended``; None for all.
    """
    query = {"limit": str(limit), "page": str(page)}
    return Call(
        "GET",
        "/v2/conversations",
        ConversationPage.from_json,
        query=query | ({"status": status} if status else {}),
    )


def create_conversation(body: Mapping[str, Any]) -> Call[Conversation]:
    """
    Create a conversation (https://docs.tavus.io/api-reference/conversations/create-conversation).

    Tavus knows no idempotency key, so this is never sent again on our own when it may have been done.

    :param body: the fields, under Tavus' names.
    """
    return Call("POST", "/v2/conversations", Conversation.from_json, body=body, repeatable=False)


def end_conversation(conversation_id: str) -> Call[None]:
    """
    End a call (https://docs.tavus.io/api-reference/conversations/end-conversation).

    :param conversation_id: which one.
    :raises InvalidArgumentError: if this cannot be an id.
    """
    path = f"/v2/conversations/{quote(checked_conversation_id(conversation_id), safe='')}/end"
    return Call("POST", path, _nothing, conversation_id=conversation_id)


def delete_conversation(conversation_id: str, *, hard: bool) -> Call[None]:
    """
    Delete a conversation (https://docs.tavus.io/api-reference/conversations/delete-conversation).

    :param conversation_id: which one.
    :param hard: with its recordings and everything else, for good.
    :raises InvalidArgumentError: if this cannot be an id.
    """
    return Call(
        "DELETE",
        f"/v2/conversations/{quote(checked_conversation_id(conversation_id), safe='')}",
        _nothing,
        query={"hard": "true"} if hard else {},
        conversation_id=conversation_id,
    )


def _nothing(_: Any) -> None:
    """Read an answer that says all by its status."""
