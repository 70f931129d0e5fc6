"""The deferred wait for conversations."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_tavus.api.errors import AuthenticationError, TavusError, UnreadableConnectionError
from airflow_provider_tavus.conversations.arguments import checked_event_types, checked_ids, seconds
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.triggers.refusal import fails_alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import timedelta

POLLS = "airflow_provider_tavus.triggers.polls"

NEEDED_HERE_TOO = "The triggerer needs the connection as the workers do: an environment variable is of one machine."
"""What an event adds to the message of a connection that cannot be read."""


class ConversationTrigger(BaseTrigger):
    """
    Wait until every conversation has its verdict, or until the deadline.

    Airflow stores a trigger's arguments and its event in clear and logs them, so they carry ids, numbers and
    statuses alone. All times are wall-clock times: the trigger may go on in another process on another machine.

    The event has ``status`` and, with it:

    * ``done`` or ``timeout``: ``conversations``, each one's verdict;
    * ``error``: ``message``, of an error that waiting cannot cure, and ``transient``: whether a retry of the task may.

    :param conversation_ids: the conversations to wait for: one id or a list of them.
    :param wait_for: the event types wanted of each, besides its end.
    :param grace_period: seconds, or a timedelta, after its end in which a conversation's events may still come.
    :param poll_interval: seconds, or a timedelta, between two looks, at least; above 0.
    :param deadline: epoch seconds; the first look at or after it is the last.
    :param tavus_conn_id: the Airflow connection to use.
    :param started_at: epoch seconds of the first start of the wait; default: now.
    :param next_look: epoch seconds before which not to look; default: look at once.
    :param exponential_backoff: let the pauses double from ``poll_interval`` on.
    :param max_wait: seconds, or a timedelta, that a pause may grow to, at most.
    :raises UnusableTriggerError: if one of these cannot be used, so that a task fails when it defers.
    """

    def __init__(
        self,
        *,
        conversation_ids: str | Iterable[str],
        wait_for: str | Iterable[str],
        grace_period: float | timedelta,
        poll_interval: float | timedelta,
        deadline: float,
        tavus_conn_id: str = TavusHook.default_conn_name,
        started_at: float | None = None,
        next_look: float | None = None,
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Checked here, in the worker: in the triggerer, one that cannot be reckoned with would be in all others' way.
        with fails_alone():
            self.conversation_ids = list(checked_ids(conversation_ids))
            self.wait_for = list(checked_event_types(wait_for))
            self.grace_period = seconds("grace_period", grace_period)
            self.poll_interval = seconds("poll_interval", poll_interval)
            if not self.poll_interval:
                raise ValueError("poll_interval must be above 0: Tavus is not to be asked without a pause.")
            self.deadline = _moment("deadline", deadline)
            self.started_at = time.time() if started_at is None else _moment("started_at", started_at)
            self.next_look = None if next_look is None else _moment("next_look", next_look)
            self.max_wait = None if max_wait is None else seconds("max_wait", max_wait)
        self.tavus_conn_id = tavus_conn_id
        self.exponential_backoff = exponential_backoff

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conversation_ids": self.conversation_ids,
                "wait_for": self.wait_for,
                "grace_period": self.grace_period,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "tavus_conn_id": self.tavus_conn_id,
                "started_at": self.started_at,
                "next_look": self.next_look,
                "exponential_backoff": self.exponential_backoff,
                "max_wait": self.max_wait,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait together with all others of the same account, and yield the one event."""
        wait = self._wait()
        try:
            await self._carry_out(wait)
        except TavusError as error:
            yield TriggerEvent({"status": "error", "message": _message(error), "transient": error.transient})
        else:
            yield TriggerEvent({"status": "timeout" if wait.undecided else "done", "conversations": wait.results()})

    async def _carry_out(self, wait: Wait) -> None:
        if POLLS not in sys.modules:
            # What it stands on takes long enough to import that every other trigger would notice.
            await asyncio.to_thread(import_module, POLLS)
        from airflow_provider_tavus.triggers.connections import read_settings, settings_after_a_refusal
        from airflow_provider_tavus.triggers.polls import carry_out

        settings = await read_settings(self.tavus_conn_id)
        first_look = self._first_look(wait.schedule, time.time())
        while True:
            try:
                await carry_out(wait, settings, first_look, partial(self.log.info, "%s"))
                return
            except AuthenticationError:
                # The key may have been rotated, and the connection with it, since it was read.
                fresh_settings = await settings_after_a_refusal(self.tavus_conn_id, settings)
                if fresh_settings == settings:
                    raise
            # The refused wait has ended with that error; what it knows is taken along.
            wait.failure = None
            settings, first_look = fresh_settings, time.time()

    def _first_look(self, schedule: Schedule, now: float) -> float | None:
        return None if self.next_look is None else schedule.look_after_a_move(self.next_look, now)

    def _wait(self) -> Wait:
        return Wait(
            conversation_ids=tuple(self.conversation_ids),
            wait_for=tuple(self.wait_for),
            grace_period=self.grace_period,
            schedule=Schedule(
                started_at=self.started_at,
                interval=self.poll_interval,
                deadline=self.deadline,
                exponential_backoff=self.exponential_backoff,
                longest_interval=self.max_wait,
            ),
        )


def _message(error: TavusError) -> str:
    if not isinstance(error, UnreadableConnectionError):
        return str(error)
    # Whoever reads this in the task's log may have seen the worker look over the same connection.
    return f"{NEEDED_HERE_TOO} {error}"


def _moment(name: str, epoch_seconds: float) -> float:
    try:
        if math.isfinite(moment := float(epoch_seconds)):
            return moment
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be epoch seconds, such as time.time() + 3600, not {epoch_seconds!r}.")
