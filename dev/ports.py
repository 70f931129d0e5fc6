"""Ports for servers of ours."""

from __future__ import annotations

import contextlib
import random
import socket


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on.

    They lie below those that the system gives to outgoing connections, which could take one again before
    it is used.
    """
    # Not the generator that a test run may have seeded alike in several processes.
    luck = random.SystemRandom()
    found: set[int] = set()
    while len(found) < count:
        port = luck.randint(15_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as attempt:
            attempt.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)
