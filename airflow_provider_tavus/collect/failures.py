"""What keeps a run from being complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_tavus.collect.index import Index


class UnusableConversationError(Exception):
    """A conversation cannot be brought into the shape that it is stored in. Its text is in no message."""

    def __init__(self, conversation_id: str, fault: str) -> None:
        super().__init__(
            f"Conversation {conversation_id} cannot be brought into the shape that it is stored in: it raised {fault}."
        )


class Failures:
    """
    What went wrong in one run; what comes after it goes on all the same.

    :param index: takes in which conversations failed, and why.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self.first: Exception | None = None
        """What is to be told of: what went wrong first; where reading was given up, why it was."""

    def note(self, error: Exception) -> None:
        """Note what is about no single conversation."""
        self.first = self.first or error

    def note_giving_up(self, error: Exception) -> None:
        """Note why reading was given up, which tells more than what went wrong before."""
        self.first = error

    def note_conversation(self, conversation_id: str, error: Exception, why: str | None = None) -> None:
        """
        Note that a conversation could not be read or stored.

        :param why: the word under which it is counted; None is the class of the error.
        """
        self.note(error)
        self._index.settle_unchanged(conversation_id, "failed", why or type(error).__name__)

    def note_unusable(self, conversation_id: str, fault: str) -> None:
        """
        Note that a conversation was read in vain.

        :param fault: the class of what was raised.
        """
        self.note_conversation(conversation_id, UnusableConversationError(conversation_id, fault), fault)
