"""Which fields of a conversation are secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

LEFT_OUT_UNLESS_NAMED = frozenset({"callback_url", "conversation_url", "meeting_token"})
"""Fields that open a room or carry a user's own token."""


def checked_include(include: Collection[str]) -> Collection[str]:
    """
    Return names of secret fields that somebody wants handed out all the same.

    :raises ValueError: if a name is none of them.
    """
    if unknown := {include} if isinstance(include, str) else set(include) - LEFT_OUT_UNLESS_NAMED:
        raise ValueError(
            f"include must be a list of names out of {sorted(LEFT_OUT_UNLESS_NAMED)}, not {sorted(unknown)}."
        )
    return include
