"""
Keeps thousands of waits out of Python's full collections of garbage, which stop every trigger while they last.

A full collection looks at each object that has lived for a while, at up to a microsecond and more each, and a wait is
some thirty of them. What is frozen (https://docs.python.org/3/library/gc.html#gc.freeze) is not looked at. It is
freed as ever once nobody refers to it; only what refers to itself in a circle stays until the waits are fewer again.
"""

from __future__ import annotations

import gc

MANY = 1000
"""So many waits at a time are worth freezing, and so many new ones are frozen together."""

_waits = 0
_not_frozen = 0
_frozen = False


def a_wait_began() -> None:
    """Count a wait that is there to stay."""
    global _waits, _not_frozen, _frozen
    _waits += 1
    _not_frozen += 1
    if _waits >= MANY and _not_frozen >= MANY:
        # The first time, all that Airflow has loaded is to be looked at: that would be the stall itself.
        gc.collect(2 if _frozen else 1)
        gc.freeze()
        _not_frozen, _frozen = 0, True


def a_wait_is_over() -> None:
    """Count it no more."""
    global _waits, _not_frozen, _frozen
    _waits -= 1
    if _waits < MANY // 2:
        _not_frozen = min(_not_frozen, _waits)
        if _frozen:
            gc.unfreeze()
            _not_frozen, _frozen = _waits, False
