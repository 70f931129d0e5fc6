"""The operator that deletes conversations."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_tavus.api.errors import InvalidArgumentError, UnknownConversationError
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink
from airflow_provider_tavus.operators.deletion import delete_at_tavus
from airflow_provider_tavus.operators.each_conversation import SucceedOrFail, checked_choice, work_on_each
from airflow_provider_tavus.operators.over import is_surely_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.providers.common.compat.sdk import Context


class DeleteConversationOperator(BaseOperator):
    """
    Delete a conversation, or several, with their transcripts.

    Returns ``conversation_id``, ``outcome`` (``deleted``, ``unknown`` or ``failed``) and ``error``; a list of them
    if ``conversation_id`` was a list. All of a list are worked on before the task fails, and the XCom then tells
    what became of each. Doing it twice does no harm.

    .. seealso:: https://docs.tavus.io/api-reference/conversations/delete-conversation

    :param conversation_id: the conversation to delete, or a list of them (templated).
    :param hard: True to destroy recordings and everything else with it, which cannot be undone. To be said in any
        case.
    :param allow_active: delete calls that are going on, too, and those of which it is not certain that they are over.
        If not, the task fails for them.
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
        hard: bool,
        allow_active: bool = False,
        on_unknown: SucceedOrFail = "succeed",
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, choice in (("hard", hard), ("allow_active", allow_active)):
            # The text "False" would be true, and this cannot be undone.
            if not isinstance(choice, bool):
                raise ValueError(f"{name} must be True or False, not {choice!r}.")
        self.conversation_id = conversation_id
        self.hard = hard
        self.allow_active = allow_active
        self.on_unknown = checked_choice("on_unknown", on_unknown)
        self.tavus_conn_id = tavus_conn_id

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Delete each conversation, and return what became of it."""
        with permanent_errors_are_not_retried(), closing(TavusHook(self.tavus_conn_id)) as hook:
            return work_on_each(self, context, self.conversation_id, lambda one: self._delete(hook, one))

    def _delete(self, hook: TavusHook, conversation_id: str) -> str:
        try:
            conversation = hook.get_conversation(conversation_id)
        except UnknownConversationError:
            if self.on_unknown == "fail":
                raise
            return "unknown"
        if not (self.allow_active or is_surely_over(hook, conversation)):
            raise InvalidArgumentError(
                f"Conversation {conversation_id} is still {conversation.status}, and so was not deleted: wait for its "
                "end, or set allow_active=True.",
                conversation_id=conversation_id,
            )
        if not delete_at_tavus(hook, conversation_id, hard=self.hard):
            self.log.info("Conversation %s is gone already: its deletion was answered for twice.", conversation_id)
        return "deleted"
