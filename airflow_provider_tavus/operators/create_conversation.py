"""The operator that creates a conversation, at most one for each task instance."""

from __future__ import annotations

import random
import time
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseOperator,
    conf,
    mask_secret,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_tavus.api.errors import ConcurrencyLimitError, ConfigurationError, InvalidArgumentError
from airflow_provider_tavus.conversations.arguments import checked_event_types, seconds
from airflow_provider_tavus.conversations.cancellation import checked_cancellation
from airflow_provider_tavus.conversations.create_body import FIELDS, create_body, names_given
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY, has_ended
from airflow_provider_tavus.conversations.secrets import LEFT_OUT_UNLESS_NAMED, checked_include
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink
from airflow_provider_tavus.operators.at_most_once import Clock, OneConversation, WhenCleared, conclude
from airflow_provider_tavus.sensors.waiting import (
    TRIGGERER_MARGIN,
    OnMissing,
    WaitsForConversations,
    checked_on_missing,
    checked_poke_interval,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tavus.api.models import Conversation
    from airflow_provider_tavus.api.settings import ClientSettings
    from airflow_provider_tavus.conversations.cancellation import Cancellation
    from airflow_provider_tavus.conversations.wait import Wait
    from airflow_provider_tavus.triggers.conversation import ConversationTrigger

SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds between two tries while the account's plan allows no further conversation."""


class CreateConversationOperator(WaitsForConversations, BaseOperator):
    """
    Create a conversation, and if asked to, wait for its end and its results.

    There is at most one conversation for each task instance: a retry, after whatever went wrong, finds the one that
    was created before by a mark at the end of its name. Clearing a task that had succeeded creates a new one.

    Returns the conversation in the shape of :func:`airflow_provider_tavus.conversations.plain.as_plain`; with
    ``wait_for_completion`` what :class:`~airflow_provider_tavus.sensors.conversation.ConversationSensor` returns, with
    the same errors. The id is pushed to XCom under ``conversation_id`` at once.

    .. seealso:: https://docs.tavus.io/api-reference/conversations/create-conversation

    :param face_id: who is seen; before 2026 it was called ``replica_id``. At least one of this and ``pal_id``.
    :param replica_id: the older name of ``face_id``.
    :param pal_id: who speaks; before 2026 it was called ``persona_id``.
    :param persona_id: the older name of ``pal_id``.
    :param audio_only: without video.
    :param callback_url: where Tavus sends events; masked in logs.
    :param receive_callbacks: let Tavus send them to Airflow itself, whose configuration says where that is; instead of
        ``callback_url``.
    :param conversation_name: a name; the mark follows it.
    :param conversational_context: what the AI is told beforehand.
    :param custom_greeting: what it says first.
    :param memory_stores: names of memories; ``participant_tags`` is another name of it.
    :param participant_tags: another name of ``memory_stores``.
    :param document_ids: documents that it may look things up in.
    :param document_tags: likewise, by their tags.
    :param document_retrieval_strategy: ``speed``, ``quality`` or ``balanced``.
    :param test_mode: create it already ended, without anybody in it.
    :param require_auth: let nobody in without a ``meeting_token``.
    :param max_participants: how many may be in the room.
    :param properties: time limits, recording, language and so on.
    :param extra_fields: fields of the body that are not among these, sent as they are.
    :param include: names of fields that the result keeps of ``conversation_url``, ``callback_url`` and
        ``meeting_token``, which are left out because whoever reads them can enter the room.
    :param concurrency_timeout: seconds, or a timedelta, for which to wait when the account's plan allows no further
        conversation at the moment.
    :param when_cleared: what a task that was done with its conversation does when it is cleared: ``create`` a new
        one, or ``reuse`` it.
    :param wait_for_completion: wait until it has ended and its results are there.
    :param cancellation: what becomes of a live call when the task that waits for it is cancelled, times out or fails:
        ``leave`` it alone, ``end`` it, or ``end_if_nobody_joined``.
    :param wait_for: the event types to wait for besides the end; as are the following, with
        ``wait_for_completion`` only.
    :param grace_period: seconds, or a timedelta, after the end in which events may still come.
    :param on_missing: what to do when they have not come by then: ``fail``, ``skip`` or ``succeed``.
    :param poke_interval: seconds, or a timedelta, between two looks.
    :param timeout: seconds, or a timedelta, after which to give up waiting.
    :param exponential_backoff: let the pauses double from ``poke_interval`` on.
    :param max_wait: seconds, or a timedelta, that a pause may grow to.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param tavus_conn_id: the Airflow connection to use.
    """

    template_fields: Sequence[str] = (*FIELDS, "extra_fields", "wait_for", "tavus_conn_id")
    operator_extra_links = (ConversationLink(),)
    ui_color = "#e8e4f8"

    _clock: ClassVar[Clock] = time
    """What the time before the conversation is told by; that of the wait is the machine's."""

    def __init__(
        self,
        *,
        face_id: str | None = None,
        replica_id: str | None = None,
        pal_id: str | None = None,
        persona_id: str | None = None,
        audio_only: bool | str | None = None,
        callback_url: str | None = None,
        receive_callbacks: bool = False,
        conversation_name: str | None = None,
        conversational_context: str | None = None,
        custom_greeting: str | None = None,
        memory_stores: Sequence[str] | None = None,
        participant_tags: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        document_tags: Sequence[str] | None = None,
        document_retrieval_strategy: str | None = None,
        test_mode: bool | str | None = None,
        require_auth: bool | str | None = None,
        max_participants: int | str | None = None,
        properties: Mapping[str, Any] | None = None,
        extra_fields: Mapping[str, Any] | None = None,
        include: Collection[str] = (),
        concurrency_timeout: float | timedelta = 3600.0,
        when_cleared: WhenCleared = "create",
        wait_for_completion: bool = False,
        cancellation: Cancellation = "leave",
        wait_for: str | Iterable[str] = (TRANSCRIPTION_READY,),
        grace_period: float | timedelta = 600.0,
        on_missing: OnMissing = "fail",
        poke_interval: float | timedelta = 60.0,
        timeout: float | timedelta = 604800.0,
        exponential_backoff: bool = False,
        max_wait: float | timedelta | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.face_id = face_id
        self.replica_id = replica_id
        self.pal_id = pal_id
        self.persona_id = persona_id
        self.audio_only = audio_only
        self.callback_url = callback_url
        self.receive_callbacks = receive_callbacks
        self.conversation_name = conversation_name
        self.conversational_context = conversational_context
        self.custom_greeting = custom_greeting
        self.memory_stores = memory_stores
        self.participant_tags = participant_tags
        self.document_ids = document_ids
        self.document_tags = document_tags
        self.document_retrieval_strategy = document_retrieval_strategy
        self.test_mode = test_mode
        self.require_auth = require_auth
        self.max_participants = max_participants
        self.properties = properties
        self.extra_fields = extra_fields
        self.include = checked_include(include)
        self.concurrency_timeout = seconds("concurrency_timeout", concurrency_timeout)
        self.when_cleared = when_cleared
        self.wait_for_completion = wait_for_completion
        self.cancellation = checked_cancellation(cancellation)
        self.wait_for = wait_for
        self.grace_period = seconds("grace_period", grace_period)
        self.on_missing = checked_on_missing(on_missing)
        self.poke_interval = checked_poke_interval(seconds("poke_interval", poke_interval))
        self.timeout = seconds("timeout", timeout)
        self.exponential_backoff = exponential_backoff
        self.max_wait = None if max_wait is None else seconds("max_wait", max_wait)
        self.deferrable = deferrable
        self.tavus_conn_id = tavus_conn_id
        self._given = names_given(self._fields())
        if when_cleared not in {"create", "reuse"}:
            raise ValueError(f"when_cleared must be 'create' or 'reuse', not {when_cleared!r}.")
        if receive_callbacks and callback_url is not None:
            raise ValueError("Pass receive_callbacks=True or a callback_url, not both: a conversation has one.")

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        # Airflow stores what templates were filled in with, for everybody to see: what is secret of it is masked
        # before. Of a mapped task it calls this method alone, and not render_template_fields.
        super()._do_render_template_fields(*args, **kwargs)
        if isinstance(self.callback_url, str) and self.callback_url:
            mask_secret(self.callback_url)

    def execute(self, context: Context) -> Any:
        """Create the conversation or find the one that was created before; return it, or what came of it."""
        return self._create_and_wait(context)

    def execute_again(self, context: Context, event: dict[str, Any]) -> Any:
        """Try again to create the conversation, after a pause in the triggerer."""
        return self._create_and_wait(context, event)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Conclude from the event of a :class:`~airflow_provider_tavus.triggers.conversation.ConversationTrigger`."""
        return self._go_on_from(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; if no triggerer ended the wait in time, look one last time."""
        too_late = next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error")).lower()
        created = self._take_up_the_id(context)
        with self._cancelled_as_asked(context), permanent_errors_are_not_retried():
            if too_late and created:
                return self._last_look(context)
            return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Do what is asked for to the call: the task was marked failed or cleared, or its worker is to stop."""
        self._cancel()

    # -- creating ----------------------------------------------------------------------------------------------

    def _create_and_wait(self, context: Context, pause: Mapping[str, Any] | None = None) -> Any:
        with self._cancelled_as_asked(context), permanent_errors_are_not_retried():
            checked_event_types(self.wait_for)
            conversation = self._find_or_create(context, pause or {})
            self.conversation_id = conversation.conversation_id
            self._push_id(context)
            if self.wait_for_completion:
                return self._wait_until_decided(context)
            conclude(context)
            from airflow_provider_tavus.conversations.plain import as_plain

            return as_plain(conversation, include=self.include)

    def _find_or_create(self, context: Context, pause: Mapping[str, Any]) -> Conversation:
        body = self._body()
        with closing(TavusHook(self.tavus_conn_id)) as hook:
            self._settings = hook.settings
            one = OneConversation(
                hook,
                context,
                when_cleared=self.when_cleared,
                is_unfinished=lambda conversation: self._is_unfinished(hook, context, conversation),
                looked_in_try=pause.get("try_number"),
                clock=self._clock,
            )
            waiting_since = pause.get("waiting_since")
            while True:
                try:
                    conversation = one.find_or_create(body)
                except ConcurrencyLimitError as limit:
                    waiting_since = waiting_since or self._clock.time()
                    self._pause_at_the_limit(context, limit, waiting_since)
                else:
                    _mask(conversation)
                    return conversation

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    def _body(self) -> dict[str, Any]:
        fields = self._fields()
        if lost := sorted(self._given - names_given(fields)):
            # As a DAG with native rendering makes it. A call without its persona or its time limit costs money, too.
            raise InvalidArgumentError(
                f"{' and '.join(lost)} is None: what its template reads is not there. "
                "Let the template say what is to be sent then."
            )
        if self.receive_callbacks:
            fields["callback_url"] = _own_callback_url()
        return create_body(fields, self.extra_fields)

    def _pause_at_the_limit(self, context: Context, limit: ConcurrencyLimitError, waiting_since: float) -> None:
        now = self._clock.time()
        deadline = waiting_since + self.concurrency_timeout
        if now >= deadline:
            raise limit
        # As long as all that has passed, so that the pauses double; and at random, so that not all come at once.
        pause = max(SHORTEST_PAUSE, min(LONGEST_PAUSE, now - waiting_since)) * random.uniform(0.5, 1.0)  # noqa: S311
        moment = min(now + pause, deadline)
        self.log.info("%s Trying again in %.0f s.", limit, moment - now)
        if self.deferrable:
            self._defer_until(moment, waiting_since, context["ti"].try_number)
        self._clock.sleep(moment - now)

    def _defer_until(self, moment: float, waiting_since: float, try_number: int) -> NoReturn:
        from airflow_provider_tavus.triggers.created_conversation import CreateAgainTrigger

        self.defer(
            trigger=CreateAgainTrigger(moment=moment, waiting_since=waiting_since, try_number=try_number),
            method_name="execute_again",
            timeout=timedelta(seconds=self.concurrency_timeout + TRIGGERER_MARGIN),
        )
        raise AssertionError("unreachable: a deferral raises")

    def _is_unfinished(self, hook: TavusHook, context: Context, conversation: Conversation) -> bool:
        if not self.wait_for_completion:
            return not has_ended(conversation)
        self.conversation_id = conversation.conversation_id
        wait = self._wait(context)
        self._look(hook, wait)
        return bool(wait.undecided)

    # -- waiting -----------------------------------------------------------------------------------------------

    def _take_up_the_id(self, context: Context) -> bool:
        """Remember, in another process, which conversation the task waits for; say whether there is one yet."""
        ti = context["ti"]
        map_index = -1 if ti.map_index is None else ti.map_index
        kept = ti.xcom_pull(task_ids=self.task_id, key="conversation_id", map_indexes=map_index)
        if isinstance(kept, str):
            self.conversation_id = kept
        return isinstance(kept, str)

    def _trigger(self, wait: Wait, next_look: float) -> ConversationTrigger:
        from airflow_provider_tavus.triggers.created_conversation import CreatedConversationTrigger

        return CreatedConversationTrigger(cancellation=self.cancellation, **self._trigger_arguments(wait, next_look))

    def _conclude(self, context: Context, results: list[dict[str, Any]]) -> Any:
        # Whatever the verdict, it is the last one.
        conclude(context)
        self._over = True
        return super()._conclude(context, results)

    # -- cancelling --------------------------------------------------------------------------------------------

    conversation_id: str = ""
    _settings: ClientSettings | None = None
    _over: bool = False
    """Whether nothing is left to cancel."""

    @contextmanager
    def _cancelled_as_asked(self, context: Context) -> Iterator[None]:
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout):
            self._cancel()
            raise
        except Exception:
            # A retry goes on with the call, if there is one.
            ti = context["ti"]
            if ti.try_number > ti.max_tries:
                self._cancel()
            raise

    def _cancel(self) -> None:
        from airflow_provider_tavus.hooks.cancellation import cancel_conversation

        if self._over or not self.conversation_id or not self.wait_for_completion:
            return
        self._over = True
        try:
            settings = self._settings or TavusHook(self.tavus_conn_id).settings
        except Exception as fault:
            self.log.warning("Conversation %s may go on: %s", self.conversation_id, fault)
        else:
            cancel_conversation(self.conversation_id, self.cancellation, settings, self.log)


def _own_callback_url() -> str:
    from airflow_provider_tavus.callbacks.settings import callback_settings

    settings = callback_settings() if AIRFLOW_V_3_3_PLUS else None
    if settings is None:
        raise ConfigurationError(
            "receive_callbacks=True has no effect here: Airflow receives callbacks only from version 3.3 on, and if "
            "[tavus] callback_tokens is set, for the workers as well as for the API server."
        )
    mask_secret(settings.callback_url)
    return settings.callback_url


def _mask(conversation: Conversation) -> None:
    for name in LEFT_OUT_UNLESS_NAMED:
        secret = getattr(conversation, name, None)
        if isinstance(secret, str) and secret:
            mask_secret(secret)
