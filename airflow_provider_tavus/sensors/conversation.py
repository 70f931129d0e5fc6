"""The sensor that waits for conversations."""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.conversations.arguments import seconds
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink
from airflow_provider_tavus.sensors.start_from_trigger import can_start_in_the_triggerer
from airflow_provider_tavus.sensors.waiting import (
    TRIGGERER_MARGIN,
    OnMissing,
    WaitsForConversations,
    checked_on_missing,
    checked_poke_interval,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider_tavus.conversations.wait import Wait


class ConversationSensor(WaitsForConversations, BaseSensorOperator):
    """
    Wait until conversations have ended and every wanted event of theirs is there.

    Returns each conversation's verdict as plain JSON: ``conversation_id``, ``state`` (``ready``, ``never`` or
    ``waiting``), ``status``, ``missing``, ``reason``, ``shutdown_reason`` and ``ended_at``; a list of them if
    ``conversation_id`` was a list. No transcript: read that with
    :class:`~airflow_provider_tavus.operators.conversation.GetConversationOperator`.

    Where it waits (``mode="poke"``, ``mode="reschedule"`` or ``deferrable=True``) changes nothing else:

    * Results that will never come (test mode, nobody joined, no transcript in time, ...) end the wait as
      ``on_missing`` says. The verdicts are in the XCom then, too, as they are after a time-out.
    * A time-out raises AirflowSensorTimeout. ``timeout`` counts from the first start of the task; on
      Airflow 3.3 and later its retries do not start it anew.
    * ``soft_fail`` turns both into a skip. A wrong key or an unknown id fails the task at once, and its retries
      are not used up on it. ``never_fail`` turns all of these into a skip.
    * Outages of Tavus are waited out; no conversation is read more often than every ``poke_interval`` seconds.

    :param conversation_id: the conversation to wait for, or a list of them (templated).
    :param wait_for: the event types to wait for besides the end (templated); empty for the end alone.
    :param grace_period: seconds, or a timedelta, after a conversation's end in which its events may still
        come; counted from its shutdown, whenever the sensor looks.
    :param on_missing: what to do when they have not come by then: ``fail``, ``skip`` or ``succeed``.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param start_from_trigger: with ``deferrable``, take the first look in the triggerer as well, so that the wait
        costs no worker before it is over. It has no effect below Airflow 3.3, in mapped tasks, and where a
        templated argument comes from another task: only a worker can fetch that.
    :param tavus_conn_id: the Airflow connection to use (templated).
    """

    template_fields: Sequence[str] = ("conversation_id", "wait_for", "tavus_conn_id")
    operator_extra_links = (ConversationLink(),)
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        conversation_id: str | Iterable[str],
        wait_for: str | Iterable[str] = (TRANSCRIPTION_READY,),
        grace_period: float | timedelta = 600.0,
        on_missing: OnMissing = "fail",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        for name in ("timeout", "poke_interval", "max_wait"):
            if kwargs.get(name) is not None:
                # Airflow takes infinity, or overflows without naming the argument.
                seconds(name, kwargs[name])
        super().__init__(**kwargs)
        self.conversation_id = conversation_id
        self.wait_for = wait_for
        self.grace_period = seconds("grace_period", grace_period)
        self.on_missing = checked_on_missing(on_missing)
        self.deferrable = deferrable
        self.tavus_conn_id = tavus_conn_id
        checked_poke_interval(self.poke_interval)
        if start_from_trigger and not deferrable:
            raise ValueError("start_from_trigger needs deferrable=True: it is the triggerer that waits.")
        # On the instance, never on the class: mapped tasks, whose instances only a worker makes, read it there.
        self.start_from_trigger = start_from_trigger and can_start_in_the_triggerer(
            conversation_id, wait_for, tavus_conn_id
        )
        if self.start_from_trigger:
            self.start_trigger_args = self._start_trigger_args()

    def execute(self, context: Context) -> Any:
        """Look until every conversation has its verdict, and return the verdicts."""
        with self._ending_as_asked():
            return self._wait_until_decided(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Conclude from the event of a :class:`~airflow_provider_tavus.triggers.conversation.ConversationTrigger`."""
        with self._ending_as_asked():
            return self._go_on_from(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; if no triggerer ended it in time, look one last time."""
        if next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error")).lower():
            with self._ending_as_asked():
                return self._last_look(context)
        # BaseSensorOperator would turn our AirflowFailException into a skip here, and in poke mode it would not.
        with self._ending_as_asked():
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, and say whether every conversation has its verdict."""
        wait = self._wait(context)
        with closing(TavusHook(self.tavus_conn_id)) as hook:
            self._look(hook, wait)
        return PokeReturnValue(not wait.undecided, xcom_value=self._shaped(wait.results()))

    def _pause(self, wait: Wait, next_look: float) -> None:
        if self.reschedule and not self.deferrable:
            from airflow.exceptions import AirflowRescheduleException

            raise AirflowRescheduleException(datetime.fromtimestamp(next_look, UTC))
        super()._pause(wait, next_look)

    def _start_trigger_args(self) -> StartTriggerArgs:
        from airflow.triggers.base import StartTriggerArgs

        wait_at_most = self.timeout
        deferred_at_most = self.timeout + self.poke_interval + TRIGGERER_MARGIN
        if self.execution_timeout is not None:
            # Airflow itself ends a deferral by it that it has begun.
            wait_at_most = min(wait_at_most, self.execution_timeout.total_seconds())
            deferred_at_most = min(deferred_at_most, self.execution_timeout.total_seconds())
        return StartTriggerArgs(
            trigger_cls="airflow_provider_tavus.triggers.conversation_sensor.ConversationSensorTrigger",
            trigger_kwargs={
                "conversation_id": self.conversation_id,
                "wait_for": self.wait_for if isinstance(self.wait_for, str) else list(self.wait_for),
                "grace_period": self.grace_period,
                "poll_interval": self.poke_interval,
                "wait_at_most": wait_at_most,
                "deferred_at_most": deferred_at_most,
                "tavus_conn_id": self.tavus_conn_id,
                "exponential_backoff": self.exponential_backoff,
                "max_wait": self._longest_interval,
            },
            next_method="execute_complete",
            timeout=timedelta(seconds=deferred_at_most),
        )

    def _conclude(self, context: Context, results: list[dict[str, Any]]) -> Any:
        try:
            return super()._conclude(context, results)
        except AirflowFailException as failure:
            if self.soft_fail:
                raise AirflowSkipException(str(failure)) from None
            raise

    @contextmanager
    def _ending_as_asked(self) -> Iterator[None]:
        from airflow.exceptions import AirflowRescheduleException

        try:
            yield
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowSensorTimeout)):
                raise AirflowSkipException(str(error)) from error
            if isinstance(error, TavusError) and not error.transient:
                raise AirflowFailException(str(error)) from error
            raise
