"""What every task that waits for conversations does alike: the sensor, and the operator that creates one first."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_tavus.api.errors import AnswerTimeoutError, TavusError, UnreadableConnectionError
from airflow_provider_tavus.conversations.arguments import checked_event_types, checked_ids, seconds
from airflow_provider_tavus.conversations.readiness import Verdict
from airflow_provider_tavus.conversations.schedule import Schedule
from airflow_provider_tavus.conversations.wait import Wait
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.sensors.first_start import first_started_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tavus.triggers.conversation import ConversationTrigger

OnMissing = Literal["fail", "skip", "succeed"]

TRIGGERER_MARGIN = 60.0
"""Seconds beyond the last look after which the scheduler ends a deferral that no triggerer ended."""


def checked_on_missing(on_missing: OnMissing) -> OnMissing:
    """
    Return what is to become of a task whose results will never come.

    :raises ValueError: if it is none of the three.
    """
    if on_missing not in {"fail", "skip", "succeed"}:
        raise ValueError(f"on_missing must be 'fail', 'skip' or 'succeed', not {on_missing!r}.")
    return on_missing


def checked_poke_interval(poke_interval: float) -> float:
    """
    Return the seconds between two looks.

    :raises ValueError: if there are none.
    """
    if poke_interval <= 0:
        raise ValueError("poke_interval must be above 0: Tavus is not to be asked without a pause.")
    return poke_interval


class WaitsForConversations:
    """A task that waits, to be mixed into an operator that has these attributes."""

    conversation_id: str | Iterable[str]
    wait_for: str | Iterable[str]
    grace_period: float
    on_missing: OnMissing
    poke_interval: float
    timeout: float
    exponential_backoff: Any
    deferrable: bool
    tavus_conn_id: str
    execution_timeout: timedelta | None

    if TYPE_CHECKING:
        max_wait: Any
        do_xcom_push: Any
        defer: Any
        log: Any
        start_from_trigger: bool

    def _wait_until_decided(self, context: Context) -> Any:
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

    def _go_on_from(self, context: Context, event: Any) -> Any:
        status = event.get("status") if isinstance(event, dict) else None
        self._push_id(context)
        if status == "error":
            # Older triggers do not say whether it may pass.
            raise (UnreadableConnectionError if event.get("transient") else TavusError)(event["message"])
        if status == "timeout":
            self._time_out(context, event["conversations"])
        if status == "done":
            return self._conclude(context, event["conversations"])
        raise TavusError(f"The trigger ended with {status!r}, which this version of the task does not know.")

    def _last_look(self, context: Context) -> Any:
        wait = self._wait(context)
        with closing(TavusHook(self.tavus_conn_id)) as hook:
            self._look(hook, wait)
        if wait.undecided:
            self._time_out(context, wait.results())
        return self._conclude(context, wait.results())

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
                exponential_backoff=bool(self.exponential_backoff),
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
                conversation = hook.send(calls.look_at_conversation(conversation_id), repeat=False)
            except UnreadableConnectionError:
                # Where there is none, the wait would be in vain: whether to try again is for the task's retries.
                raise
            except TavusError as error:
                news = wait.missed(conversation_id, error)
            else:
                news = wait.saw(conversation, time.time())
            if news:
                self.log.info("%s", news)
            if wait.failure:
                raise wait.failure
            if isinstance(wait.faults.get(conversation_id), AnswerTimeoutError) and wait.schedule.is_over(time.time()):
                # Each of the rest, and there may be hundreds, could take as long.
                return

    def _pause(self, wait: Wait, next_look: float) -> None:
        if self.deferrable:
            self._defer(wait, next_look)
        time.sleep(max(0.0, next_look - time.time()))

    def _defer(self, wait: Wait, next_look: float) -> NoReturn:
        schedule = wait.schedule
        longest = schedule.deadline - time.time() + schedule.interval + TRIGGERER_MARGIN
        self.defer(
            trigger=self._trigger(wait, next_look),
            method_name="execute_complete",
            timeout=timedelta(seconds=longest),
        )
        raise AssertionError("unreachable: a deferral raises")

    def _trigger(self, wait: Wait, next_look: float) -> ConversationTrigger:
        from airflow_provider_tavus.triggers.conversation import ConversationTrigger

        return ConversationTrigger(**self._trigger_arguments(wait, next_look))

    def _trigger_arguments(self, wait: Wait, next_look: float) -> dict[str, Any]:
        schedule = wait.schedule
        return {
            "conversation_ids": wait.conversation_ids,
            "wait_for": wait.wait_for,
            "grace_period": wait.grace_period,
            "poll_interval": schedule.interval,
            "deadline": schedule.deadline,
            "tavus_conn_id": self.tavus_conn_id,
            "started_at": schedule.started_at,
            "next_look": next_look,
            "exponential_backoff": schedule.exponential_backoff,
            "max_wait": schedule.longest_interval,
        }

    def _conclude(self, context: Context, results: list[dict[str, Any]]) -> Any:
        never = [str(Verdict.from_plain(result)) for result in results if result["state"] == "never"]
        if not never or self.on_missing == "succeed":
            return self._shaped(results)
        self._push_results(context, results)
        if self.on_missing == "skip":
            raise AirflowSkipException(_in_short(never))
        raise AirflowFailException(_in_short(never))

    def _time_out(self, context: Context, results: list[dict[str, Any]]) -> NoReturn:
        self._push_results(context, results)
        waiting = [str(Verdict.from_plain(result)) for result in results if result["state"] == "waiting"]
        if self._ended_by_its_execution_timeout(context):
            raise AirflowTaskTimeout(
                f"Timed out after the execution_timeout of {self.execution_timeout}. {_in_short(waiting)}"
            )
        raise AirflowSensorTimeout(f"Timed out after {self.timeout:.15g} s. {_in_short(waiting)}")

    def _ended_by_its_execution_timeout(self, context: Context) -> bool:
        if not (self.deferrable and self.execution_timeout) or self.execution_timeout.total_seconds() >= self.timeout:
            return False
        # A retry in a worker goes on with what the first try left of the timeout, which may be less; one in the
        # triggerer has all of it.
        return self.start_from_trigger or time.time() < first_started_at(context) + self.timeout

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
