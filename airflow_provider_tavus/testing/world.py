"""The conversations that exist in the box."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.archive import Archive
from airflow_provider_tavus.testing.conversation import Conversation
from airflow_provider_tavus.testing.listing import Listing, ListView, Remaining
from airflow_provider_tavus.testing.script import Script

if TYPE_CHECKING:
    from collections.abc import Iterator


class World:
    """
    Conversations by id: those that a test puts there one by one, and perhaps an archive of old ones.

    :param seed: with the same seed and the same calls, ids come out the same.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._luck = random.Random(f"world {seed}")  # noqa: S311 - a play needs no secrecy
        self._present: dict[str, Conversation] = {}
        self._removed: list[tuple[float, Conversation]] = []
        self._archive = Archive(0, (), until=0.0)
        self._gone_from_archive: list[int] = []

    def archive(self, archive: Archive) -> None:
        """Let the conversations of an archive exist, in the place of those of an earlier one."""
        self._archive = archive
        self._gone_from_archive = []

    def new_id(self) -> str:
        """Return an id that no conversation has."""
        while True:
            conversation_id = f"c{self._luck.getrandbits(56):014x}"
            if conversation_id not in self:
                return conversation_id

    def __contains__(self, conversation_id: object) -> bool:
        return isinstance(conversation_id, str) and self.get(conversation_id) is not None

    def __len__(self) -> int:
        return len(self._present) + len(self._archive) - len(self._gone_from_archive)

    def __iter__(self) -> Iterator[Conversation]:
        """Iterate over the conversations outside the archive, in the order in which they came."""
        return iter(self._present.values())

    def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation, or None if there is none of that id."""
        if conversation_id in self._present:
            return self._present[conversation_id]
        place = self._place_in_archive(conversation_id)
        return None if place is None else self._archive[place]

    def put(self, conversation: Conversation) -> None:
        """Add a conversation, or change the one of the same id."""
        self._leave_archive(conversation.conversation_id)
        self._present[conversation.conversation_id] = conversation

    def end(self, conversation: Conversation, now: float) -> Conversation:
        """End a conversation that goes on, and return how it is then; one that is over stays as it is."""
        if conversation.is_over(now):
            return conversation
        ended = replace(conversation, ended_at=now)
        self.put(ended)
        return ended

    def remove(self, conversation: Conversation, now: float) -> None:
        """Delete a conversation with everything in it."""
        self._leave_archive(conversation.conversation_id)
        self._present.pop(conversation.conversation_id, None)
        self._removed.append((now, conversation))

    def active(self, now: float) -> list[Conversation]:
        """Return the conversations that go on at ``now`` (epoch seconds)."""
        return [
            conversation for conversation in self if conversation.created_at <= now and not conversation.is_over(now)
        ]

    def listing(self, view: ListView, status: str | None, now: float) -> Listing:
        """
        Return the conversations as the list call sees them.

        :param status: only those with this status.
        :param now: epoch seconds.
        """
        seen = now - view.lag
        rows = list(self)
        if view.lag:
            rows += [conversation for removed_at, conversation in self._removed if seen < removed_at]
        rows = [conversation for conversation in rows if conversation.created_at <= seen]
        if status is not None:
            rows = [conversation for conversation in rows if conversation.status(seen) == status]
        archive = Remaining(self._archive, self._gone_from_archive) if status in {None, "ended"} else ()
        seed = self._luck.getrandbits(32) if view.order == "shuffled" else self._seed
        return Listing(archive, rows, order=view.order, seed=seed)

    def churn(self, *, come: int, finish: int, vanish: int, now: float) -> None:
        """
        Let conversations come, end and vanish, as they do between two pages of a list.

        :param come: how many are created.
        :param finish: how many of those that go on are ended, at most.
        :param vanish: how many are deleted, at most.
        :param now: epoch seconds.
        """
        for _ in range(come):
            self.put(Conversation(conversation_id=self.new_id(), script=Script.active(), created_at=now))
        active = self.active(now)
        for conversation in self._luck.sample(active, min(finish, len(active))):
            self.end(conversation, now)
        listing = self.listing(ListView(), None, now)
        places = self._luck.sample(range(len(listing)), min(vanish, len(listing)))
        for conversation in [listing[place] for place in places]:
            self.remove(conversation, now)

    def _place_in_archive(self, conversation_id: str) -> int | None:
        place = self._archive.place_of(conversation_id)
        if place is None:
            return None
        gone = bisect_left(self._gone_from_archive, place)
        return None if self._gone_from_archive[gone : gone + 1] == [place] else place

    def _leave_archive(self, conversation_id: str) -> None:
        place = self._place_in_archive(conversation_id)
        if place is not None:
            insort(self._gone_from_archive, place)
