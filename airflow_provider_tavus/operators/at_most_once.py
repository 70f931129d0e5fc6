"""
At most one conversation for a task instance, over retries, dead workers and lost answers.

Tavus has no idempotency key. So every conversation carries a mark of its task instance in its name, and whenever it
is not certain that a request to create one did nothing, the list is searched for that mark before another is sent.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow.providers.common.compat.sdk import conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_tavus.api.errors import TavusError, UnknownConversationError
from airflow_provider_tavus.conversations.identity import Mark, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.hooks.tavus import TavusHook

WhenCleared = Literal["create", "reuse"]

SETTLE_TIME = 60.0
"""Seconds after a request in which its conversation may not be in the list yet. Not documented by Tavus: a guess."""
FIRST_PAUSE, LAST_PAUSE = 2.0, 15.0
"""Seconds between two looks at the list, doubling."""
STATE_KEY = "conversation"

log = logging.getLogger(__name__)


class Clock(Protocol):
    """Tells the time and lets it pass, as the module :mod:`time` does."""

    def time(self) -> float:
        """Return the epoch seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Return once so many seconds have passed."""


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What a task instance knows of its conversation; kept in Airflow's task state store where there is one.

    :param identity: of its mark, as is ``generation``.
    :param asked_at: epoch seconds of a request that may have created it; None if there was none.
    :param conversation_id: the conversation, once it is known.
    :param concluded_in: the task's ``max_tries`` when it was done with the conversation; clearing raises that, and a
        retry does not.
    """

    identity: str
    generation: str
    asked_at: float | None = None
    conversation_id: str | None = None
    concluded_in: int | None = None

    @property
    def mark(self) -> Mark:
        """The mark in the conversation's name."""
        return Mark(self.identity, self.generation)


class OneConversation:
    """
    Finds the conversation of a task instance, or creates it.

    :param hook: leads to Tavus.
    :param context: of the running task.
    :param when_cleared: whether a task that was cleared after it had concluded gets a new conversation.
    :param is_unfinished: whether a cleared task is to go on with a conversation, where Airflow keeps no state that
        says whether the task had concluded.
    :param looked_in_try: the try in which the list has been searched already, before a deferral.
    :param clock: what the time is told by.
    """

    def __init__(
        self,
        hook: TavusHook,
        context: Context,
        *,
        when_cleared: WhenCleared,
        is_unfinished: Callable[[Conversation], bool],
        looked_in_try: int | None = None,
        clock: Clock = time,
    ) -> None:
        self._hook = hook
        self._ti = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._when_cleared = when_cleared
        self._is_unfinished = is_unfinished
        self._looked_in_try = looked_in_try
        self._clock = clock

    def find_or_create(self, body: Mapping[str, Any]) -> Conversation:
        """
        Return the conversation that was created for this task instance before, or create it now.

        :param body: of the call that creates it; its name gets the mark.
        :raises TavusError: if it could not be created, or it remains unknown whether it was. Then a retry, which
            looks first, is safe.
        """
        intent = self._intent()
        conversation = self._earlier(intent)
        if conversation is not None:
            log.info("Going on with conversation %s, created before.", conversation.conversation_id)
        else:
            conversation = self._create(intent, body)
            log.info("Created conversation %s.", conversation.conversation_id)
        self._keep(replace(intent, conversation_id=conversation.conversation_id))
        return conversation

    # -- what is known -----------------------------------------------------------------------------------------

    def _intent(self) -> Intent:
        if self._store is None:
            # Clearing raises max_tries, and a retry does not.
            return Intent(self._identity(), str(self._ti.max_tries))
        kept = self._store.get(STATE_KEY)
        if kept is not None:
            intent = Intent(**kept)
            cleared = intent.concluded_in is not None and self._ti.max_tries > intent.concluded_in
            if not (cleared and self._when_cleared == "create"):
                return intent
        return Intent(self._identity(), _new_generation())

    def _identity(self) -> str:
        ti = self._ti
        return identity_of(
            # Two deployments with the same DAGs, for tests and in production, may share an account.
            deployment=conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "base_url", fallback=None) or "",
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
        )

    def _keep(self, intent: Intent) -> None:
        if self._store is not None:
            self._store.set(STATE_KEY, asdict(intent))

    # -- looking -----------------------------------------------------------------------------------------------

    def _earlier(self, intent: Intent) -> Conversation | None:
        if intent.conversation_id is not None:
            return self._known(intent)
        if self._store is not None:
            return None if intent.asked_at is None else self._look_back(intent, self._settled_at(intent.asked_at))
        # `airflow tasks test` counts its only try as 0.
        if self._ti.try_number <= 1 or self._ti.try_number == self._looked_in_try:
            return None
        # Whatever an earlier try asked for, it asked before this one began.
        started = self._ti.start_date
        found = self._look_back(intent, (started.timestamp() if started else self._clock.time()) + SETTLE_TIME)
        self._looked_in_try = self._ti.try_number
        return found

    def _known(self, intent: Intent) -> Conversation:
        assert intent.conversation_id is not None
        try:
            return self._hook.get_conversation(intent.conversation_id)
        except UnknownConversationError:
            # It was deleted: whoever clears the task then is to get another one.
            self._keep(Intent(intent.identity, _new_generation()))
            raise

    def _settled_at(self, asked_at: float) -> float:
        settings = self._hook.settings
        return asked_at + settings.connect_timeout + settings.read_timeout + SETTLE_TIME

    def _look_back(self, intent: Intent, settled_at: float) -> Conversation | None:
        log.info(
            "An earlier try may have created the conversation: looking for it, for up to %.0f s.",
            max(0.0, settled_at - self._clock.time()),
        )
        return self._look(intent, settled_at)

    def _look(self, intent: Intent, settled_at: float) -> Conversation | None:
        """
        Search the list until the conversation is found, or ``settled_at`` has passed and it is in no list.

        What goes on is a short list and read again and again. All conversations, of which there may be very many,
        are read once, to decide: a conversation may be over, or there may be two that carry the mark.
        """
        pause = FIRST_PAUSE
        while True:
            remaining = settled_at - self._clock.time()
            try:
                if remaining <= 0 or self._matching(intent, status="active"):
                    found = self._matching(intent)
                    if found is not None or remaining <= 0:
                        return found
            except TavusError as fault:
                if not fault.transient or remaining <= 0:
                    raise
                log.warning("%s Looking again.", fault)
            self._clock.sleep(max(0.0, min(pause, settled_at - self._clock.time())))
            pause = min(2 * pause, LAST_PAUSE)

    def _matching(self, intent: Intent, status: str | None = None) -> Conversation | None:
        from airflow_provider_tavus.api.listing import every_conversation

        exact, older = [], []
        for conversation in every_conversation(self._hook.send, status=status):
            mark = Mark.of(conversation.conversation_name)
            if mark == intent.mark:
                exact.append(conversation)
            elif self._store is None and mark is not None and mark.identity == intent.identity:
                older.append((int(mark.generation) if mark.generation.isdigit() else -1, conversation))
        if exact:
            return _first(exact)
        if not older:
            return None
        latest = max(generation for generation, _ in older)
        candidate = _first([conversation for generation, conversation in older if generation == latest])
        return candidate if self._when_cleared == "reuse" or self._is_unfinished(candidate) else None

    # -- creating ----------------------------------------------------------------------------------------------

    def _create(self, intent: Intent, body: Mapping[str, Any]) -> Conversation:
        from airflow_provider_tavus.api import calls

        marked = {**body, "conversation_name": intent.mark.put_on(body.get("conversation_name"))}
        call = calls.create_conversation(marked)
        self._hook.settings  # noqa: B018 - a connection that cannot be used is said so before anything is noted
        asked_at = 0.0

        def note_the_time() -> None:
            # Of each request: what Tavus refuses for the moment may be sent again minutes later.
            nonlocal asked_at
            asked_at = self._clock.time()
            self._keep(replace(intent, asked_at=asked_at))

        try:
            return self._hook.send(call, before_each_request=note_the_time)
        except TavusError as fault:
            if fault.undone:
                self._keep(replace(intent, asked_at=None))
                raise
            log.warning("%s The conversation may have been created all the same: looking for it.", fault)
            found = self._look(intent, self._settled_at(asked_at))
            if found is None:
                raise
            return found


def _new_generation() -> str:
    # Known to one task instance alone, so that no other deployment can have the same.
    return secrets.token_hex(4)


def conclude(context: Context) -> None:
    """Note that the task is done with its conversation: if it is cleared now, it begins anew."""
    store: Any = context.get("task_state_store")
    kept = None if store is None else store.get(STATE_KEY)
    if kept is not None:
        store.set(STATE_KEY, {**kept, "concluded_in": context["ti"].max_tries})


def _first(conversations: list[Conversation]) -> Conversation:
    """Return the one that was created first: a copy that somebody made of its name came later."""
    return min(
        conversations,
        key=lambda one: (one.created_at.timestamp() if one.created_at else float("inf"), one.conversation_id),
    )
