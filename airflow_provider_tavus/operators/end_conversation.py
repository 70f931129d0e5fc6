"""The operator that ends calls."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_tavus.api.errors import InvalidArgumentError, InvalidRequestError, UnknownConversationError
from airflow_provider_tavus.conversations.events import has_ended
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink
from airflow_provider_tavus.operators.each_conversation import SucceedOrFail, checked_choice, work_on_each
from airflow_provider_tavus.operators.over import is_surely_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tavus.api.models import Conversation


class EndConversationOperator(BaseOperator):
    """
    End a live call, or several. Whoever is in the room is disconnected.

    Returns ``conversation_id``, ``outcome`` (``ended``, ``already_ended``, ``unknown`` or ``failed``) and ``error``;
    a list of them if ``conversation_id`` was a list. All of a list are worked on before the task fails, and the
    XCom then tells what became of each. Doing it twice does no harm.

    .. seealso:: https://docs.tavus.io/api-reference/conversations/end-conversation

    :param conversation_id: the conversation to end, or a list of them (templated).
    :param on_already_ended: ``succeed`` or ``fail`` if a call was over before.
    :param on_unknown: ``succeed`` or ``fail`` if Tavus knows no such conversation (any more).
    :param tavus_conn_id: the Airflow connection to use (templated).
    """

    template_fields: Sequence[str] = ("conversation_id", "tavus_conn_id")
    operator_extra_links = (ConversationLink(),)
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        conversation_id: str | Iterable[str],
        on_already_ended: SucceedOrFail = "succeed",
        on_unknown: SucceedOrFail = "fail",
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conversation_id = conversation_id
        self.on_already_ended = checked_choice("on_already_ended", on_already_ended)
        self.on_unknown = checked_choice("on_unknown", on_unknown)
        self.tavus_conn_id = tavus_conn_id

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """End each call, and return what became of it."""
        with permanent_errors_are_not_retried(), closing(TavusHook(self.tavus_conn_id)) as hook:
            return work_on_each(self, context, self.conversation_id, lambda one: self._end(hook, one))

    def _end(self, hook: TavusHook, conversation_id: str) -> str:
        try:
            conversation = hook.get_conversation(conversation_id)
            # Any other status that is not documented may be that of a call that goes on.
            if conversation.status != "ended" and self._end_live(hook, conversation):
                return "ended"
        except UnknownConversationError:
            if self.on_unknown == "fail":
                raise
            return "unknown"
        if self.on_already_ended == "fail":
            raise InvalidArgumentError("The call was over before.", conversation_id=conversation_id)
        return "already_ended"

    def _end_live(self, hook: TavusHook, conversation: Conversation) -> bool:
        from airflow_provider_tavus.api import calls

        conversation_id = conversation.conversation_id
        try:
            hook.send(calls.end_conversation(conversation_id))
        except InvalidRequestError as refusal:
            # A second end is refused by some accounts, and the first one may have been ours with its answer lost. That
            # may sound as if the conversation was unknown: if it is, it cannot be read either.
            if not is_surely_over(hook, hook.get_conversation(conversation_id)):
                raise InvalidRequestError(
                    f"{refusal.what_happened} The call goes on.", conversation_id=conversation_id
                ) from None
            return not has_ended(conversation)
        return True
