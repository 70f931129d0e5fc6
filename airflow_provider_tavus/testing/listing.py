"""Pages of the list call. Its order is not documented, so the box offers several."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.testing.conversation import Conversation

Order = Literal["newest", "oldest", "random"]


class Listing:
    """Conversations in the order in which the list call shows them.

    :param conversations: in any order.
    :param order: by creation, or ``random``: one fixed order for each seed.
    :param seen: the moment at which the list sees the conversations, in epoch seconds.
    """

    def __init__(
        self, conversations: Sequence[Conversation], *, order: Order, seed: int, seen: float
    ) -> None:
        self.seen = seen
        self._rows = sorted(conversations, key=lambda row: row.created_at, reverse=order == "newest")
        if order == "random":
            random.Random(seed).shuffle(self._rows)  # noqa: S311 - a play needs no secrecy

    def __len__(self) -> int:
        return len(self._rows)

    def page(self, number: int, limit: int) -> Sequence[Conversation]:
        """Return a page, the first of which is 1."""
        return self._rows[(number - 1) * limit : number * limit]
