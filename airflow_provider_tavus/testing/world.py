"""The conversations that exist in the box."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.listing import Listing, Order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.testing.conversation import Conversation


class World:
    """Conversations by id, oldest first.

    :param seed: with the same seed and the same calls, ids come out the same.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(f"world {seed}")  # noqa: S311 - a play needs no secrecy
        self._conversations: dict[str, Conversation] = {}
        self._removed: list[tuple[float, Conversation]] = []

    def new_id(self) -> str:
        """Return an id that no conversation has."""
        while True:
            conversation_id = f"c{self._random.getrandbits(56):014x}"
            if conversation_id not in self:
                return conversation_id

    def __contains__(self, conversation_id: object) -> bool:
        return conversation_id in self._conversations

    def __len__(self) -> int:
        return len(self._conversations)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._conversations.values())

    def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation, or None if there is none of that id."""
        return self._conversations.get(conversation_id)

    def put(self, conversation: Conversation) -> None:
        """Add a conversation, or change the one of the same id."""
        self._conversations[conversation.conversation_id] = conversation

    def end(self, conversation: Conversation, now: float) -> Conversation:
        """End a conversation that goes on, and return how it is then; one that is over stays as it is."""
        if conversation.is_over(now):
            return conversation
        ended = replace(conversation, ended_at=now)
        self.put(ended)
        return ended

    def remove(self, conversation: Conversation, now: float) -> None:
        """Delete a conversation with everything in it."""
        del self._conversations[conversation.conversation_id]
        self._removed.append((now, conversation))

    def active(self, now: float) -> list[Conversation]:
        """Return the conversations that go on at ``now`` (epoch seconds)."""
        return [conversation for conversation in self if not conversation.is_over(now)]

    def listing(
        self, *, status: str | None, order: Order, seed: int, now: float, lag: float = 0.0
    ) -> Listing:
        """Return the conversations as the list call sees them.

        :param status: only those with this status.
        :param now: epoch seconds.
        :param lag: how many seconds the list is behind: what was created, ended or deleted within them does
            not show.
        """
        seen = now - lag
        rows = [conversation for conversation in self if conversation.created_at <= seen or not lag]
        rows += [gone for removed_at, gone in self._removed if lag and gone.created_at <= seen < removed_at]
        rows = [conversation for conversation in rows if status in {None, conversation.status(seen)}]
        return Listing(rows, order=order, seed=seed, seen=seen)
