"""Where conversations go besides the destination: the tables in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.collect.rows import rows_of
from airflow_provider_tavus.collect.sent import SentConversation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.collect.sql import Database


class Copies(Protocol):
    """
    Takes copies of what is stored.

    The ledger has a conversation only when its copy was taken, so after a crash it is given again: taking it twice
    has to be as good as once. It is called in the event loop's own thread, as databases may ask for one thread.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """By which the ledger knows the places that take them."""

    def store(self, bodies: Sequence[bytes]) -> None:
        """Take conversations, as they are in their raw objects, instead of earlier ones with the same ids."""

    def forget(self, conversation_ids: Sequence[str]) -> None:
        """Remove conversations, if they are there."""


class NoCopies:
    """Takes none."""

    names: tuple[str, ...] = ()

    def store(self, bodies: Sequence[bytes]) -> None:
        """Do nothing."""

    def forget(self, conversation_ids: Sequence[str]) -> None:
        """Do nothing."""


class DatabaseCopies:
    """
    Writes them into the tables of a database.

    :param database: is opened and closed by whoever gives it.
    :param name: by which the ledger knows it.
    """

    def __init__(self, database: Database, *, name: str) -> None:
        self._database = database
        self.names = (name,)

    def store(self, bodies: Sequence[bytes]) -> None:
        """Insert conversations, or replace what is there of them."""
        self._database.write(rows_of(SentConversation.from_json(read_json(body))) for body in bodies)

    def forget(self, conversation_ids: Sequence[str]) -> None:
        """Delete conversations from all tables."""
        self._database.delete(conversation_ids)
