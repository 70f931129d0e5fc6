"""The sensor that waits for conversations."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_tavus.api.errors import TavusError
from airflow_provider_tavus.conversations.arguments import checked_event_types, checked_ids, seconds
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY
from airflow_provider_tavus.conversations.readiness import Verdict
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink
from airflow_provider_tavus.sensors.first_start import first_started_at
from airflow_provider_tavus.sensors.start_from_trigger import can_start_in_the_triggerer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import StartTriggerArgs

OnMissing = Literal["fail", "skip", "succeed"]

TRIGGERER_MARGIN = 60.0
"""Seconds beyond the last look after which the scheduler ends a deferral that no triggerer ended."""


class ConversationSensor(BaseSensorOperator):
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
        super().__init__(**kwargs)
        self.conversation_id = conversation_id
        self.wait_for = wait_for
        self.grace_period = seconds("grace_period", grace_period)
        self.on_missing = on_missing
        self.deferrable = deferrable
        self.tavus_conn_id = tavus_conn_id
        if on_missing not in {"fail", "skip", "succeed"}:
            raise ValueError(f"on_missing must be 'fail', 'skip' or 'succeed', not {on_missing!r}.")
        if self.poke_interval <= 0:
            raise ValueError("poke_interval must be above 0: Tavus is not to be asked without a pause.")
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
            wait = self._wait(context)
            self._push_id(context)
            with closing(TavusHook(self.tavus_conn_id)) as hook:
                while True:
                    looked_at = time.time()
                    self._look(hook, wait)
                    if not wait.undecided:
                        return self._conclude(context, wait.results())
                    if wait.schedule.is_over(time.time()):
                        self._time_out(context, wait.results())
                    self._pause(wait, wait.next_look(looked_at))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Conclude from the event of a :class:`~airflow_provider_tavus.triggers.conversation.ConversationTrigger`."""
        status = event.get("status") if isinstance(event, dict) else None
        with self._ending_as_asked():
            self._push_id(context)
            if event is not None and status == "error":
                raise TavusError(event["message"])
            if event is not None and status == "timeout":
                self._time_out(context, event["conversations"])
            if event is not None and status == "done":
                return self._conclude(context, event["conversations"])
            raise TavusError(f"The trigger ended with {status!r}, which this version of the sensor does not know.")

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

    def _wait(self, context: Context) -> Wait:
        started_at = first_started_at(context)
        deadline = started_at + self.timeout
        if self.deferrable and self.execution_timeout is not None:
            # Airflow ends a task that waits in a worker by its execution_timeout, but not one that is deferred.
            deadline = min(deadline, time.time() + self.execution_timeout.total_seconds())
        return Wait(
            conversation_ids=checked_ids(self.conversation_id),
            wait_for=checked_event_types(self.wait_for),
            grace_period=self.grace_period,
            schedule=Schedule(
                started_at=started_at,
                interval=self.poke_interval,
                deadline=deadline,
                exponential_backoff=self.exponential_backoff,
                longest_interval=self._longest_interval,
            ),
        )

    @property
    def _longest_interval(self) -> float | None:
        return None if self.max_wait is None else seconds("max_wait", self.max_wait)

    def _look(self, hook: TavusHook, wait: Wait) -> None:
        from airflow_provider_tavus.api import calls

        for conversation_id in wait.undecided:
            try:
                # Not repeated here: the wait itself comes back, after its interval.
                conversation = hook.send(calls.get_conversation(conversation_id, verbose=True), repeat=False)
            except TavusError as error:
                news = wait.missed(conversation_id, error)
            else:
                news = wait.saw(conversation, time.time())
            if news:
                self.log.info("%s", news)
            if wait.failure:
                raise wait.failure

    def _last_look(self, context: Context) -> Any:
        wait = self._wait(context)
        with closing(TavusHook(self.tavus_conn_id)) as hook:
            self._look(hook, wait)
        if wait.undecided:
            self._time_out(context, wait.results())
        return self._conclude(context, wait.results())

    def _pause(self, wait: Wait, next_look: float) -> None:
        if self.deferrable:
            self._defer(wait, next_look)
        if self.reschedule:
            from airflow.exceptions import AirflowRescheduleException

            raise AirflowRescheduleException(datetime.fromtimestamp(next_look, UTC))
        time.sleep(max(0.0, next_look - time.time()))

    def _defer(self, wait: Wait, next_look: float) -> NoReturn:
        from airflow_provider_tavus.triggers.conversation import ConversationTrigger

        schedule = wait.schedule
        longest = schedule.deadline - time.time() + schedule.interval + TRIGGERER_MARGIN
        self.defer(
            trigger=ConversationTrigger(
                conversation_ids=wait.conversation_ids,
                wait_for=wait.wait_for,
                grace_period=wait.grace_period,
                poll_interval=schedule.interval,
                deadline=schedule.deadline,
                tavus_conn_id=self.tavus_conn_id,
                started_at=schedule.started_at,
                next_look=next_look,
                exponential_backoff=schedule.exponential_backoff,
                max_wait=schedule.longest_interval,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=longest),
        )

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
        never = [str(Verdict.from_plain(result)) for result in results if result["state"] == "never"]
        if not never or self.on_missing == "succeed":
            return self._shaped(results)
        self._push_results(context, results)
        if self.on_missing == "skip" or self.soft_fail:
            raise AirflowSkipException(_in_short(never))
        raise AirflowFailException(_in_short(never))

    def _time_out(self, context: Context, results: list[dict[str, Any]]) -> NoReturn:
        self._push_results(context, results)
        waiting = [str(Verdict.from_plain(result)) for result in results if result["state"] == "waiting"]
        if self.deferrable and self.execution_timeout and self.execution_timeout.total_seconds() < self.timeout:
            raise AirflowTaskTimeout(
                f"Timed out after the execution_timeout of {self.execution_timeout}. {_in_short(waiting)}"
            )
        raise AirflowSensorTimeout(f"Timed out after {self.timeout:g} s. {_in_short(waiting)}")

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
            if isinstance(error, TavusError):
                raise AirflowFailException(str(error)) from error
            raise

    def _push_id(self, context: Context) -> None:
        if isinstance(self.conversation_id, str):
            context["ti"].xcom_push(key="conversation_id", value=self.conversation_id)

    def _push_results(self, context: Context, results: list[dict[str, Any]]) -> None:
        # A task that fails or is skipped returns nothing, and downstream would not learn why.
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=self._shaped(results))

    def _shaped(self, results: list[dict[str, Any]]) -> Any:
        return results[0] if isinstance(self.conversation_id, str) else results


def _in_short(sentences: list[str]) -> str:
    shown = 5
    more = f" And {len(sentences) - shown} more." if len(sentences) > shown else ""
    return " ".join(sentences[:shown]) + more
