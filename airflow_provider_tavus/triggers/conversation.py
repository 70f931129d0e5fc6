"""The deferred wait for conversations."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.hooks.tavus import TavusHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_tavus.api.async_client import AsyncTavusClient

READS_IN_FLIGHT = 8
"""How many conversations one wait reads at a time."""


class ConversationTrigger(BaseTrigger):
    """
    Wait until every conversation has its verdict, or until the deadline.

    Airflow stores a trigger's arguments and its event in clear and logs them, so they carry ids, numbers and
    statuses alone. All times are wall-clock times: the trigger may go on in another process on another machine.

    The event has ``status`` and, with it:

    * ``done`` or ``timeout``: ``conversations``, each one's verdict;
    * ``error``: ``message``, of an error that waiting cannot cure.

    :param conversation_ids: the conversations to wait for.
    :param wait_for: the event types wanted of each, besides its end.
    :param grace_period: seconds after its end in which a conversation's events may still come.
    :param poll_interval: seconds between two looks, at least.
    :param deadline: epoch seconds; the first look at or after it is the last.
    :param tavus_conn_id: the Airflow connection to use.
    :param started_at: epoch seconds of the first start of the wait; default: now.
    :param next_look: epoch seconds before which not to look; default: now.
    :param exponential_backoff: let the pauses double from ``poll_interval`` on.
    :param max_wait: seconds that a pause may grow to, at most.
    """

    def __init__(
        self,
        *,
        conversation_ids: Sequence[str],
        wait_for: Sequence[str],
        grace_period: float,
        poll_interval: float,
        deadline: float,
        tavus_conn_id: str = TavusHook.default_conn_name,
        started_at: float | None = None,
        next_look: float | None = None,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conversation_ids = list(conversation_ids)
        self.wait_for = list(wait_for)
        self.grace_period = grace_period
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.tavus_conn_id = tavus_conn_id
        self.started_at = time.time() if started_at is None else started_at
        self.next_look = time.time() if next_look is None else next_look
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait

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
        """Look, sleep, and yield the one event."""
        try:
            async with await TavusHook(self.tavus_conn_id).get_async_conn() as client:
                wait = await self._carry_out(client)
        except TavusError as error:
            yield TriggerEvent({"status": "error", "message": str(error)})
        else:
            yield TriggerEvent({"status": "timeout" if wait.undecided else "done", "conversations": wait.results()})

    async def _carry_out(self, client: AsyncTavusClient) -> Wait:
        wait = self._wait()
        look = wait.schedule.look_after_a_move(self.next_look, time.time())
        while True:
            await asyncio.sleep(look - time.time())
            look = time.time()
            await self._look(client, wait)
            if not wait.undecided or wait.schedule.is_over(time.time()):
                return wait
            look = wait.next_look(look)

    async def _look(self, client: AsyncTavusClient, wait: Wait) -> None:
        from airflow_provider_tavus.api import calls

        places = asyncio.Semaphore(READS_IN_FLIGHT)

        async def read(conversation_id: str) -> None:
            call = calls.get_conversation(conversation_id, verbose=True)
            try:
                async with places:
                    # Not repeated here: the wait itself comes back, after its interval.
                    conversation = await client.send(call, repeat=False)
            except TavusError as error:
                news = wait.missed(conversation_id, error)
            else:
                news = wait.saw(conversation, time.time())
            if news:
                self.log.info("%s", news)

        async with asyncio.TaskGroup() as reads:
            for conversation_id in wait.undecided:
                reads.create_task(read(conversation_id))
        if wait.failure:
            raise wait.failure

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
