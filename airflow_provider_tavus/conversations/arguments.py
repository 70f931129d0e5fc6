"""What users may write as the arguments of a wait, brought into the one form that a wait works with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.api.ids import checked_conversation_id
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY

LONGEST = timedelta(days=3653)
"""Ten years: longer than any wait is meant, and added to a date or made a timedelta, no overflow."""

_EVENT_TYPE = re.compile(r"[\w-]+(?:\.[\w-]+)+")


def checked_ids(conversation_id: str | Iterable[str]) -> tuple[str, ...]:
    """
    Return the ids in one id or a list of them, each once.

    :raises InvalidArgumentError: if one of them cannot be an id.
    """
    if isinstance(conversation_id, Mapping):
        # Its keys would be taken for ids, and to delete unknown ones counts as a success.
        raise InvalidArgumentError(
            "conversation_id is a mapping, such as the whole result of an upstream task: pass the id in it, for "
            "instance create.output['conversation_id']."
        )
    if not isinstance(conversation_id, Iterable):
        raise InvalidArgumentError(
            f"conversation_id must be an id or a list of ids, not {type(conversation_id).__name__}."
        )
    ids = (conversation_id,) if isinstance(conversation_id, str) else conversation_id
    return tuple(dict.fromkeys(checked_conversation_id(one) for one in ids))


def checked_event_types(wait_for: str | Iterable[str]) -> tuple[str, ...]:
    """
    Return the event types in one name or a list of them.

    :raises InvalidArgumentError: if one of them cannot be an event type.
    """
    if not isinstance(wait_for, Iterable):
        raise InvalidArgumentError(f"wait_for must be event types, not {type(wait_for).__name__}: [] is the end alone.")
    event_types = (wait_for,) if isinstance(wait_for, str) else tuple(wait_for)
    for event_type in event_types:
        # The set of types is open, but each has its source in front: a name without it would be waited for in vain, as
        # would several in one text.
        if not isinstance(event_type, str) or not _EVENT_TYPE.fullmatch(event_type):
            raise InvalidArgumentError(
                f"{event_type!r} in wait_for is no event type: pass names such as {TRANSCRIPTION_READY!r}."
            )
    return event_types


def seconds(name: str, duration: float | timedelta) -> float:
    """
    Return a duration in seconds.

    :param name: the argument's name, for the error.
    :raises ValueError: if it is none, is negative, or longer than ten years.
    """
    try:
        in_seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    except OverflowError:
        in_seconds = math.inf
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number of seconds or a timedelta, not {duration!r}.") from None
    if not in_seconds >= 0:
        raise ValueError(f"{name} must be 0 seconds or more, not {duration!r}.")
    if in_seconds > LONGEST.total_seconds():
        raise ValueError(f"{name} must be ten years or less, not {duration!r}: say timedelta(days=3653) for no end.")
    return in_seconds
