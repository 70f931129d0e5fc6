"""Links from a task to Tavus' own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

CONVERSATIONS_PAGE = "https://platform.tavus.io/conversations"
"""The console's list; a conversation's own page lies below it."""


class ConversationLink(BaseOperatorLink):
    """Leads to the page of the conversation that a task is about; for several, to the list."""

    name = "Tavus Conversation"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the link; the id comes from the XCom ``conversation_id`` that the task pushes as it starts."""
        conversation_id = XCom.get_value(key="conversation_id", ti_key=ti_key)
        if not isinstance(conversation_id, str):
            return CONVERSATIONS_PAGE
        return f"{CONVERSATIONS_PAGE}/{quote(conversation_id, safe='')}"
