"""Operators for single conversations."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_tavus.api.ids import checked_conversation_id
from airflow_provider_tavus.conversations.secrets import checked_include
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.providers.common.compat.sdk import Context


class GetConversationOperator(BaseOperator):
    """
    Read one conversation and push it to XCom as plain JSON.

    Transient faults are retried by the client and then by the task's own retries; what retrying cannot cure (a
    wrong key, an unknown id) fails the task at once. For the shape of the result see
    :func:`airflow_provider_tavus.conversations.plain.as_plain`.

    .. seealso:: https://docs.tavus.io/api-reference/conversations/get-conversation

    :param conversation_id: the conversation to read (templated).
    :param verbose: with its events, and so with its transcript, shutdown reason and analysis. A transcript is
        what people said: it is then stored in XCom, where everybody with access to the DAG can read it.
    :param include: names of fields to keep of ``conversation_url``, ``callback_url`` and ``meeting_token``, which
        are left out because whoever reads them can enter the room or post in the user's name.
    :param tavus_conn_id: the Airflow connection to use (templated).
    """

    template_fields: Sequence[str] = ("conversation_id", "tavus_conn_id")
    operator_extra_links = (ConversationLink(),)
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        conversation_id: str,
        verbose: bool = False,
        include: Collection[str] = (),
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(verbose, bool):
            # The text "False" would be true, and put into XCom what people said.
            raise ValueError(f"verbose must be True or False, not {verbose!r}.")
        self.conversation_id = conversation_id
        self.verbose = verbose
        self.include = checked_include(include)
        self.tavus_conn_id = tavus_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the conversation."""
        from airflow_provider_tavus.conversations.plain import as_plain

        with permanent_errors_are_not_retried(), closing(TavusHook(self.tavus_conn_id)) as hook:
            context["ti"].xcom_push(key="conversation_id", value=checked_conversation_id(self.conversation_id))
            conversation = hook.get_conversation(self.conversation_id, verbose=self.verbose)
        self.log.info("Read conversation %s: %s.", conversation.conversation_id, conversation.status)
        return as_plain(conversation, include=self.include)
