"""Who shares a poll: all waits of one account in one event loop."""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_tavus.hooks.tavus import make_async_client
from airflow_provider_tavus.triggers import metrics
from airflow_provider_tavus.triggers.callbacks import prepare, reader_of_this_loop
from airflow_provider_tavus.triggers.shared_poll import SharedPoll

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tavus.api.settings import ClientSettings
    from airflow_provider_tavus.conversations.wait import Wait


@dataclass(eq=False, slots=True)
class Shared:
    """A poll that is open, or about to be, and how many waits take part or are about to."""

    opening: asyncio.Task[SharedPoll]
    users: int = 0


_polls: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClientSettings, Shared]]
_polls = WeakKeyDictionary()
"""Keyed by the account itself and not by a connection's id: teams never mix, and a rotated key is another poll."""


async def carry_out(
    wait: Wait, settings: ClientSettings, first_look: float | None, tell: Callable[[str], object]
) -> None:
    """
    Carry out ``wait`` together with all others of the same account in this event loop.

    :param first_look: epoch seconds before which not to look; None if nobody has looked yet.
    :param tell: called with a sentence for each change that is seen.
    :raises TavusError: if waiting cannot cure it.
    """
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    if settings not in polls:
        polls[settings] = Shared(asyncio.create_task(_open_poll(settings), context=Context()))
    shared = polls[settings]
    shared.users += 1
    try:
        # Shielded: others wait for the same one.
        poll = await asyncio.shield(shared.opening)
        await poll.carry_out(wait, first_look, tell)
    finally:
        shared.users -= 1
        if not shared.users and polls.get(settings) is shared:
            del polls[settings]


async def _open_poll(settings: ClientSettings) -> SharedPoll:
    # The first import of an HTTP library and the reading of a CA bundle would stop every other trigger.
    await asyncio.to_thread(metrics.prepare)
    await asyncio.to_thread(prepare)
    return SharedPoll(await asyncio.to_thread(make_async_client, settings), reader=reader_of_this_loop())
