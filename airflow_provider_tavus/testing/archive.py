"""A great many conversations that ended long ago, none of which exists before it is asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.conversation import Conversation

if TYPE_CHECKING:
    from airflow_provider_tavus.testing.script import Script

ID_SPACE = 1 << 48
SPREAD = 0x9E3779B97F4B
"""Odd, so that multiplying by it within ``ID_SPACE`` can be undone: so an id leads back to its place."""


class Archive(Sequence[Conversation]):
    """
    Ended conversations, oldest first, made from their place in the row.

    :param count: how many there are.
    :param scripts: what happened in them; each takes one of these, by its place and the seed.
    :param until: when the last of them was created, in epoch seconds.
    :param spacing: seconds between the creation of one and of the next.
    :param seed: the same seed gives the same ids.
    """

    def __init__(
        self, count: int, scripts: Sequence[Script], *, until: float, spacing: float = 10.0, seed: int = 0
    ) -> None:
        if not scripts and count:
            raise ValueError("conversations need scripts")
        self._count = count
        self._scripts = scripts
        self._first = until - spacing * (count - 1)
        self._spacing = spacing
        self._offset = random.Random(f"archive {seed}").getrandbits(47)  # noqa: S311 - a play needs no secrecy

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> Conversation:  # type: ignore[override]  # no slices: nobody cuts it
        if not 0 <= place < self._count:
            raise IndexError(place)
        mixed = (place + self._offset) * SPREAD % ID_SPACE
        return Conversation(
            conversation_id=f"c{mixed:012x}",
            script=self._scripts[(mixed >> 16) % len(self._scripts)],
            created_at=self._first + place * self._spacing,
            name=f"Call {place}",
        )

    def place_of(self, conversation_id: str) -> int | None:
        """Return where in the row a conversation stands, or None if it does not."""
        if len(conversation_id) != 13 or conversation_id[0] != "c":
            return None
        try:
            mixed = int(conversation_id[1:], 16)
        except ValueError:
            return None
        place = (mixed * pow(SPREAD, -1, ID_SPACE) - self._offset) % ID_SPACE
        # int() is lenient about signs and underscores; an id is not.
        return place if place < self._count and self[place].conversation_id == conversation_id else None
