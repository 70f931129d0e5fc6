"""Which conversations somebody means, by what the list tells of each. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Labels:
    """
    What tells one kind of conversation from another.

    As a filter, None lets everything pass, and the name is a pattern with ``*`` and ``?``. Brackets are what they
    are: the names that we give have some.
    """

    conversation_name: str | None = None
    pal_id: str | None = None
    face_id: str | None = None

    def fit(self, labels: Labels) -> bool:
        """Say whether a conversation with these labels passes this filter."""
        return (
            (self.conversation_name is None or _matches(labels.conversation_name or "", self.conversation_name))
            and self.pal_id in {None, labels.pal_id}
            and self.face_id in {None, labels.face_id}
        )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))
