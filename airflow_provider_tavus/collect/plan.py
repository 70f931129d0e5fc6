"""What a run is asked to do, and how far it says it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.conversations.privacy import Privacy

if TYPE_CHECKING:
    from airflow_provider_tavus.collect.outcome import Wanted


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What a run is to do. Times are seconds.

    :param wanted: when a conversation is complete.
    :param sweep_interval: the list is read to its end when it was not for so long; 0 is in every run.
    :param lookback: what was created within this time is gone through in every run.
    :param shard: which part of all conversations.
    :param requests_in_flight: how many conversations are read at a time.
    :param privacy: what is kept of a conversation.
    :param formats: those that the tables are written in, of :data:`airflow_provider_tavus.collect.formats.FORMATS`.
    :param renderings: those that are stored of each conversation, of
        :data:`airflow_provider_tavus.conversations.renderings.formats.RENDERINGS`.
    """

    wanted: Wanted
    sweep_interval: float = 86_400.0
    lookback: float = 21_600.0
    shard: Shard = field(default_factory=Shard)
    requests_in_flight: int = 32
    privacy: Privacy = field(default_factory=Privacy)
    formats: tuple[str, ...] = ("jsonl",)
    renderings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a run is.

    :param done: conversations that were read.
    :param known: those, and the ones that are known to be due.
    :param seconds: since the reading began.
    """

    done: int
    known: int
    seconds: float

    def __str__(self) -> str:
        """Say it in a line, for logs."""
        rate = self.done / self.seconds if self.seconds else 0.0
        left = f"{(self.known - self.done) / rate:.0f} s left" if rate else "time left unknown"
        return f"{self.done} of {self.known} conversations read, {rate:.0f} a second, {left}."
