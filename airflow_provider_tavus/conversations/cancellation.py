"""What becomes of a live call when the task that created it is cancelled or fails. Pure functions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from airflow_provider_tavus.conversations.events import has_ended

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_tavus.api.models import Conversation

Cancellation = Literal["leave", "end", "end_if_nobody_joined"]

FIRST_MINUTE = timedelta(minutes=1)
"""The AI joins within seconds. If after this no event is shown, it may be that reads show none."""


def checked_cancellation(cancellation: Cancellation) -> Cancellation:
    """
    Return what is to become of the call.

    :raises ValueError: if it is none of the three.
    """
    if cancellation not in {"leave", "end", "end_if_nobody_joined"}:
        raise ValueError(f"cancellation must be 'leave', 'end' or 'end_if_nobody_joined', not {cancellation!r}.")
    return cancellation


def nobody_joined(conversation: Conversation, now: datetime) -> bool:
    """
    Say whether it is certain that nobody is in the room of a conversation that was read with ``verbose=true``.

    Reads do not show people. They show when the AI joins, which it does before them, so it is certain only as long
    as the list of events is there and empty, and the conversation too young for that to be odd.
    """
    created_at = conversation.created_at
    young = created_at is not None and now - created_at < FIRST_MINUTE
    return conversation.events == [] and young and not has_ended(conversation)
