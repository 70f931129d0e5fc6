"""The deferred waits of a task that creates a conversation: for its turn to create it, and for the conversation."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.triggers.conversation import ConversationTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_tavus.conversations.cancellation import Cancellation

FINAL_STATES = {"failed", "success", "skipped", "upstream_failed", "removed"}
"""States of a task that somebody has taken out of its wait for good; a cleared one goes on."""


class CreateAgainTrigger(BaseTrigger):
    """
    Sleep until it is time to try again to create a conversation.

    :param moment: epoch seconds; a moment and not a duration, because the trigger may go on in another process.
    :param waiting_since: epoch seconds of the first refusal, handed back in the event.
    :param try_number: the task's try that sleeps, handed back in the event.
    """

    def __init__(self, *, moment: float, waiting_since: float, try_number: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.waiting_since = waiting_since
        self.try_number = try_number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain JSON."""
        arguments = {"moment": self.moment, "waiting_since": self.waiting_since, "try_number": self.try_number}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep, and yield the one event."""
        await asyncio.sleep(max(0.0, self.moment - time.time()))
        yield TriggerEvent({"waiting_since": self.waiting_since, "try_number": self.try_number})


class CreatedConversationTrigger(ConversationTrigger):
    """
    Wait for a conversation that the task itself has created.

    If somebody takes the task out of its wait, it does what the task's author wants to become of the call. That needs
    Airflow 3.3: older ones do not tell a trigger why it is stopped.

    :param cancellation: ``leave``, ``end`` or ``end_if_nobody_joined``.
    """

    def __init__(self, *, cancellation: Cancellation, **wait: Any) -> None:
        super().__init__(**wait)
        self.cancellation = cancellation

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain JSON."""
        class_path, arguments = super().serialize()
        return class_path, arguments | {"cancellation": self.cancellation}

    async def on_kill(self) -> None:
        """Do as ``cancellation`` says, if the task is really over: nobody is hung up on by a mistake."""
        from airflow_provider_tavus.hooks.cancellation import cancel_conversation

        if self.cancellation == "leave":
            return
        try:
            # Airflow calls this, too, when it hands the trigger to another triggerer while this one is busy.
            state = await asyncio.to_thread(self._state_of_the_task)
            if state not in FINAL_STATES:
                self.log.info("The task is %s, and so the conversation goes on.", state or "in no known state")
                return
            settings = await TavusHook(self.tavus_conn_id).resolve_settings()
        except Exception as fault:
            self.log.warning("The conversation may go on: %s", fault)
            return
        for conversation_id in self.conversation_ids:
            await asyncio.to_thread(cancel_conversation, conversation_id, self.cancellation, settings, self.log)

    def _state_of_the_task(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ti: Any = self.task_instance
        states = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        # A mapped one stands there under its name and its number.
        (state,) = states[ti.run_id].values()
        return None if state is None else str(state)
