"""
How a conversation says which task instance it was created for.

Tavus knows no idempotency key, and its list gives back one free label alone, the conversation's name. So a mark
such as ``[airflow 3b0c…/2]`` stands at the end of the name. Pure functions.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from airflow_provider_tavus.api.errors import InvalidArgumentError

LONGEST_NAME = 200
"""Characters of a name before its mark. No maximum is documented, and a mark that was cut off could not be found."""

_MARK = re.compile(r"(?:^| )\[airflow (?P<identity>[0-9a-f]{24})/(?P<generation>[0-9a-z]+)\]\Z")


@dataclass(frozen=True, slots=True)
class Mark:
    """
    Whom a conversation was created for.

    :param identity: of the task instance; its tries share it.
    :param generation: which conversation of this task instance it is; lower-case letters and digits.
    """

    identity: str
    generation: str

    @classmethod
    def of(cls, name: str | None) -> Mark | None:
        """Read the mark at the end of a conversation's name; None if there is none."""
        found = _MARK.search(name or "")
        return cls(found["identity"], found["generation"]) if found else None

    def put_on(self, name: str | None) -> str:
        """
        Return a conversation's name with this mark at its end.

        :raises InvalidArgumentError: if the name is too long for that.
        """
        if name and len(name) > LONGEST_NAME:
            raise InvalidArgumentError(
                f"conversation_name has {len(name)} characters: at most {LONGEST_NAME} leave room for the mark by "
                "which a retry finds the conversation again."
            )
        return f"{name} {self}" if name else str(self)

    def __str__(self) -> str:
        """Return it as it stands in a name."""
        return f"[airflow {self.identity}/{self.generation}]"


def identity_of(*, deployment: str, dag_id: str, task_id: str, run_id: str, map_index: int) -> str:
    """
    Return the identity of a task instance: 96 bits of a hash, the same for all its tries.

    :param deployment: what tells this Airflow from another one with the same DAGs and the same Tavus account.
    """
    names = json.dumps([deployment, dag_id, task_id, run_id, map_index])
    return hashlib.sha256(names.encode()).hexdigest()[:24]
