"""
The journal of callbacks: a short, bounded list of ids that the receiver appends to and the triggerer reads.

It lies in the state store of one asset, under two keys: a small head that tells whether there is anything new, and the
ids themselves. It is a hint all through: an id that is lost, or was never one of ours, costs nothing but time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_KEY = "tavus/callbacks/head"
"""Under this is how many ids were ever appended."""

RECENT_KEY = "tavus/callbacks/recent"
"""Under this is a :class:`Recent`."""

MOST_IDS = 1000
"""How many ids are kept, the last ones."""


class Recent(TypedDict):
    """The last ids, and how many there ever were."""

    n: int
    ids: list[str]


def append(recent: object, ids: Sequence[str]) -> Recent:
    """
    Return what to store after ``ids`` have come.

    :param recent: what is stored; whatever is no :class:`Recent` counts as an empty one.
    """
    stored = _read(recent)
    return {"n": stored["n"] + len(ids), "ids": [*stored["ids"], *ids][-MOST_IDS:]}


def since(recent: object, n: int) -> tuple[list[str], bool]:
    """
    Return the ids that came after the first ``n``, and whether others came that the journal no longer has.

    :param recent: what is stored.
    :param n: how many had come at the last look. More than there are means that the journal was begun anew.
    """
    stored = _read(recent)
    came = stored["n"] - n if n <= stored["n"] else stored["n"]
    ids = stored["ids"][-came:] if came else []
    return ids, len(ids) < came


def length(recent: object) -> int:
    """Return how many ids were ever appended to what is stored."""
    return _read(recent)["n"]


def _read(recent: object) -> Recent:
    n = recent.get("n") if isinstance(recent, dict) else None
    ids = recent.get("ids") if isinstance(recent, dict) else None
    if not isinstance(n, int) or not isinstance(ids, list):
        return {"n": 0, "ids": []}
    kept = [one for one in ids if isinstance(one, str)][-MOST_IDS:]
    return {"n": max(n, len(kept)), "ids": kept}
