"""Whether a call is over for certain, for whoever would do harm if it was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tavus.conversations.events import SHUTDOWN, has_ended, latest_event

if TYPE_CHECKING:
    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.hooks.tavus import TavusHook


def is_surely_over(hook: TavusHook, conversation: Conversation) -> bool:
    """
    Tell whether a conversation has ended, by its status or, where that is none that is documented, by its events.

    :param hook: reads the events.
    """
    if conversation.status == "ended" or not has_ended(conversation):
        return has_ended(conversation)
    # A status that is not documented may be that of a call that goes on.
    events = hook.get_conversation(conversation.conversation_id, verbose=True)
    return latest_event(events, SHUTDOWN) is not None
