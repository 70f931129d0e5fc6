"""What the list call sees. Its order is not documented, so the box offers several."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from airflow_provider_tavus.testing.conversation import Conversation

Order = Literal["newest", "oldest", "random", "shuffled"]
FEW = 10_000
"""Up to so many rows are shuffled as a whole; more are put in an order that needs no memory."""


@dataclass(frozen=True, kw_only=True)
class ListView:
    """
    How the list call sees the conversations.

    :param order: by creation; ``random``, the same at every call; or ``shuffled``, another at every call.
    :param limit_cap: the highest ``limit`` that is kept to, without a word; None is none.
    :param lag: how many seconds of the box's clock the list is behind.
    """

    order: Order = "newest"
    limit_cap: int | None = None
    lag: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an order that there is not."""
        checked_order(self.order)


def checked_order(order: Order) -> Order:
    """
    Return an order.

    :raises ValueError: if there is no such order.
    """
    if order not in get_args(Order):
        raise ValueError(f"no order of the list is named {order!r}; there is {', '.join(get_args(Order))}")
    return order


class Remaining(Sequence[Conversation]):
    """
    A row of conversations without those that have gone from it, however long the row is.

    :param row: the conversations.
    :param gone: the places of those that have gone, in ascending order.
    """

    def __init__(self, row: Sequence[Conversation], gone: Sequence[int]) -> None:
        self._row = row
        self._gone = gone

    def __len__(self) -> int:
        return len(self._row) - len(self._gone)

    def __getitem__(self, place: int) -> Conversation:  # type: ignore[override]  # no slices: nobody cuts it
        missing = 0
        while missing != (missing := bisect_right(self._gone, place + missing)):
            pass
        return self._row[place + missing]


class Listing(Sequence[Conversation]):
    """
    Conversations in the order in which the list call shows them.

    :param archive: the conversations that count as older than all others, oldest first.
    :param present: the others.
    :param order: see :class:`ListView`.
    :param seed: of a random order.
    """

    def __init__(
        self, archive: Sequence[Conversation], present: Sequence[Conversation], *, order: Order, seed: int
    ) -> None:
        self._archive = archive
        self._present = sorted(present, key=lambda conversation: conversation.created_at)
        self._places = _places(len(archive) + len(present), order, seed)

    def __len__(self) -> int:
        return len(self._archive) + len(self._present)

    def __getitem__(self, number: int) -> Conversation:  # type: ignore[override]  # pages are cut by page()
        place = self._places[number]
        if place < len(self._archive):
            return self._archive[place]
        return self._present[place - len(self._archive)]

    def page(self, number: int, limit: int) -> list[Conversation]:
        """Return a page, the first of which is 1."""
        first = min((number - 1) * limit, len(self))
        return [self[place] for place in range(first, min(first + limit, len(self)))]


def _places(count: int, order: Order, seed: int) -> Sequence[int]:
    """Return the places of a row, oldest first, in the order in which they are shown."""
    if order == "oldest":
        return range(count)
    if order == "newest":
        return range(count - 1, -1, -1)
    luck = random.Random(seed)  # noqa: S311 - a play needs no secrecy
    if count <= FEW:
        return luck.sample(range(count), count)
    return _Strides(count, luck)


class _Strides(Sequence[int]):
    """All numbers below ``count``, once each, far from their order, at no cost of memory."""

    def __init__(self, count: int, luck: random.Random) -> None:
        self._count = count
        self._start = luck.randrange(count)
        self._stride = luck.randrange(count // 3, count)
        while math.gcd(self._stride, count) != 1:
            self._stride += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> int:  # type: ignore[override]  # no slices: nobody cuts it
        return (self._start + number * self._stride) % self._count
