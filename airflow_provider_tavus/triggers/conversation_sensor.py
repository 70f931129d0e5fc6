"""The whole wait of a sensor that starts in the triggerer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.conversations.arguments import checked_event_types, checked_ids
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.triggers.conversation import ConversationTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from jinja2 import Environment


class ConversationSensorTrigger(BaseTrigger):
    """
    Wait as a :class:`~airflow_provider_tavus.sensors.conversation.ConversationSensor` does, from its very start.

    Its arguments are the sensor's own, since they are written down when the DAG is parsed: times count from the
    start of the task, and Airflow fills in the templates just before :meth:`run`, so it is there that they are
    checked. The event is that of a :class:`~airflow_provider_tavus.triggers.conversation.ConversationTrigger`.

    :param conversation_id: the conversation to wait for, or a list of them (templated).
    :param wait_for: the event types wanted of each, besides its end (templated).
    :param grace_period: seconds after its end in which a conversation's events may still come.
    :param poll_interval: seconds between two looks, at least.
    :param wait_at_most: seconds from the start of the task; the first look after them is the last.
    :param deferred_at_most: seconds from the start of the task after which Airflow itself ends the deferral.
    :param tavus_conn_id: the Airflow connection to use (templated).
    :param exponential_backoff: let the pauses double from ``poll_interval`` on.
    :param max_wait: seconds that a pause may grow to, at most.
    """

    timeout_after: datetime | None = None
    """When Airflow ends the deferral; set by the triggerer, and the same in each one that the wait moves to."""

    def __init__(
        self,
        *,
        conversation_id: str | Sequence[str],
        wait_for: str | Sequence[str],
        grace_period: float,
        poll_interval: float,
        wait_at_most: float,
        deferred_at_most: float,
        tavus_conn_id: str = TavusHook.default_conn_name,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conversation_id = conversation_id
        self.wait_for = wait_for
        self.grace_period = grace_period
        self.poll_interval = poll_interval
        self.wait_at_most = wait_at_most
        self.deferred_at_most = deferred_at_most
        self.tavus_conn_id = tavus_conn_id
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conversation_id": self.conversation_id,
                "wait_for": self.wait_for,
                "grace_period": self.grace_period,
                "poll_interval": self.poll_interval,
                "wait_at_most": self.wait_at_most,
                "deferred_at_most": self.deferred_at_most,
                "tavus_conn_id": self.tavus_conn_id,
                "exponential_backoff": self.exponential_backoff,
                "max_wait": self.max_wait,
            },
        )

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Fill in the templates as a worker would: with lists and not with their texts, where the DAG asks for that."""
        of_the_task = getattr(self.task, "render_template_as_native_obj", None)
        of_the_dag = getattr(context.get("dag"), "render_template_as_native_obj", False)
        # Airflow heeds this of whatever has templates. The environment stays its sandbox, which a native DAG's own is
        # not: it renders a list as text, and that is read as a list again.
        self.render_template_as_native_obj = bool(of_the_dag if of_the_task is None else of_the_task)
        super().render_template_fields(context, jinja_env)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait together with all others of the same account, and yield the one event."""
        try:
            wait = self._as_deferred_by_a_worker()
        except InvalidArgumentError as error:
            yield TriggerEvent({"status": "error", "message": str(error)})
            return
        async for event in wait.run():
            yield event

    def _as_deferred_by_a_worker(self) -> ConversationTrigger:
        started_at = self._task_started_at()
        return ConversationTrigger(
            conversation_ids=checked_ids(self.conversation_id),
            wait_for=checked_event_types(self.wait_for),
            grace_period=self.grace_period,
            poll_interval=self.poll_interval,
            deadline=started_at + self.wait_at_most,
            tavus_conn_id=self.tavus_conn_id,
            started_at=started_at,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait,
        )

    def _task_started_at(self) -> float:
        # A triggerer is not told when a task started, only when its deferral is to end.
        return time.time() if self.timeout_after is None else self.timeout_after.timestamp() - self.deferred_at_most
