"""Deletes a conversation at Tavus, and believes no answer that could mean something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.api.errors import InvalidRequestError, UnknownConversationError

if TYPE_CHECKING:
    from airflow_provider_tavus.hooks.tavus import TavusHook


def delete_at_tavus(hook: TavusHook, conversation_id: str, *, hard: bool) -> bool:
    """
    Delete a conversation; return False if Tavus does not know it: it was deleted before, or is another account's.

    :param hard: with its recordings and everything else, for good.
    :raises InvalidRequestError: if Tavus refuses to, and still knows it.
    """
    from airflow_provider_tavus.api import calls

    try:
        hook.send(calls.delete_conversation(conversation_id, hard=hard))
    except UnknownConversationError as refusal:
        # An earlier request may have been ours, with its answer lost; or this is no word on the conversation.
        if _can_be_read(hook, conversation_id):
            raise InvalidRequestError(
                f"{refusal.what_happened} But the conversation is still there.", conversation_id=conversation_id
            ) from None
        return False
    return True


def _can_be_read(hook: TavusHook, conversation_id: str) -> bool:
    try:
        hook.get_conversation(conversation_id)
    except UnknownConversationError:
        return False
    return True
