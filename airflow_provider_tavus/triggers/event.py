"""The trigger of an asset watcher: one event for each conversation whose results are ready."""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.triggers.base import TriggerEvent

from airflow_provider_tavus.conversations.arguments import checked_event_types, seconds
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY
from airflow_provider_tavus.conversations.labels import Labels
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.triggers.refusal import fails_alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Iterable
    from datetime import timedelta

    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.triggers.discovery import Discovery
    from airflow_provider_tavus.triggers.event_state import EventState


class ConversationEventTrigger(BaseEventTrigger):
    """
    Fire once for each conversation that has ended and whose wanted events are there, in order of readiness.

    For an ``AssetWatcher``, so on Airflow 3. Conversations count that go on, or are created, when the watcher first
    begins, and all later ones. Those whose results never come get a line in the triggerer's log and no event.

    On Airflow 3.3 what was done is kept with the asset, so that no restart repeats or misses a conversation; below,
    what becomes ready while no triggerer runs is missed. The payload has ``conversation_id``, ``pal_id``,
    ``face_id``, ``status``, ``state``, ``shutdown_reason``, ``created_at``, ``ended_at`` and ``ready_at``, never what
    was said.

    .. seealso:: Airflow's "Event-driven scheduling"

    :param wait_for: the event types wanted of each conversation, besides its end.
    :param grace_period: seconds, or a timedelta, after its end in which a conversation's events may still come.
    :param poll_interval: seconds, or a timedelta, between two looks; watchers that agree on it share them.
    :param conversation_name: only conversations with this name, a pattern with ``*`` and ``?``.
    :param pal_id: only those with this PAL, which was called persona.
    :param face_id: only those with this face, which was called replica.
    :param tavus_conn_id: the Airflow connection to use.
    :raises UnusableTriggerError: if one of these cannot be used, so that the DAG is not imported.
    """

    def __init__(
        self,
        *,
        wait_for: str | Iterable[str] = (TRANSCRIPTION_READY,),
        grace_period: float | timedelta = 600.0,
        poll_interval: float | timedelta = 60.0,
        conversation_name: str | None = None,
        pal_id: str | None = None,
        face_id: str | None = None,
        tavus_conn_id: str = TavusHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        with fails_alone():
            self.wait_for = checked_event_types(wait_for)
            self.grace_period = seconds("grace_period", grace_period)
            self.poll_interval = seconds("poll_interval", poll_interval)
            if not self.poll_interval:
                raise ValueError("poll_interval must be above 0: Tavus is not to be asked without a pause.")
            self.conversation_name = _checked("conversation_name", conversation_name)
            self.pal_id = _checked("pal_id", pal_id)
            self.face_id = _checked("face_id", face_id)
        self.tavus_conn_id = tavus_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "wait_for": list(self.wait_for),
                "grace_period": self.grace_period,
                "poll_interval": self.poll_interval,
                "conversation_name": self.conversation_name,
                "pal_id": self.pal_id,
                "face_id": self.face_id,
                "tavus_conn_id": self.tavus_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the list alone: below Airflow 3.3, watchers do not share what they see of it."""
        _, arguments = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(arguments)):
            yield event

    def shared_stream_key(self) -> Hashable:
        """Share the list with all watchers of the connection that look equally often."""
        return type(self).__name__, self.tavus_conn_id, self.poll_interval

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Discovery]:
        """Read the list again and again, for all who share it."""
        from airflow_provider_tavus.triggers.discovery import Discovery

        trigger = cls(**kwargs)
        tell = partial(trigger.log.info, "%s")
        async for discovery in Discovery(trigger.tavus_conn_id, trigger.poll_interval, tell).run():
            yield discovery

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Discovery]) -> AsyncIterator[TriggerEvent]:
        """Wait for each conversation that is listed, and yield an event when it is ready."""
        from airflow_provider_tavus.triggers.watch import Watch

        watch = Watch(
            wanted=self._wanted,
            wait_for=self.wait_for,
            grace_period=self.grace_period,
            interval=self.poll_interval,
            state=self._state(),
            tell=partial(self.log.info, "%s"),
        )
        async for payload in watch.run(shared_stream):
            yield TriggerEvent(payload)

    def payload_if_ready(self, conversation: Conversation) -> dict[str, Any] | None:
        """
        Return what the event of a conversation would hold, or None if it is not ready or is not watched for.

        :param conversation: as it was read just now, with its events.
        """
        from airflow_provider_tavus.conversations.readiness import judge
        from airflow_provider_tavus.triggers.discovery import as_listed
        from airflow_provider_tavus.triggers.watch import event_payload

        now, listed = time.time(), as_listed(conversation)
        verdict = judge(
            conversation, wait_for=self.wait_for, grace_period=self.grace_period, now=now, waiting_since=now
        )
        return event_payload(verdict, listed) if verdict.state == "ready" and self._wanted.fit(listed.labels) else None

    def _state(self) -> EventState:
        from airflow_provider_tavus.triggers.event_state import StateInMemory, StateOfAssets

        accessors = getattr(self, "asset_state_store", None)
        if accessors is None:
            return StateInMemory()
        # Airflow tells a trigger with several assets nothing else of which they are.
        return StateOfAssets([*accessors._by_name.values(), *accessors._by_uri.values()], self.name_in_the_state)

    @property
    def _wanted(self) -> Labels:
        return Labels(self.conversation_name, self.pal_id, self.face_id)

    @property
    def name_in_the_state(self) -> str:
        """Return a name that stays while it watches for the same, however often it looks and long it waits."""
        told_apart_by = [
            self.tavus_conn_id,
            sorted(self.wait_for),
            self.conversation_name,
            self.pal_id,
            self.face_id,
        ]
        return hashlib.sha256(json.dumps(told_apart_by).encode()).hexdigest()[:12]


def _checked(name: str, text: str | None) -> str | None:
    """Return what is to be filtered by, unless nothing would ever pass, and nobody would be told why."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text, not {type(text).__name__}: for each of several, add a watcher.")
    if text == "" and name != "conversation_name":
        raise ValueError(f"{name} is empty: leave it out for all conversations.")
    if "{{" in text:
        raise ValueError(f"{name} is a template, and Airflow fills in none for a watcher: {text!r}.")
    return text
