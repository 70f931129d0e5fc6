"""The operator that forgets a conversation."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_tavus.api.ids import checked_conversation_id
from airflow_provider_tavus.hooks.copies import open_copies
from airflow_provider_tavus.hooks.destination import open_destination
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.operators.deletion import delete_at_tavus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath


class ForgetConversationOperator(BaseOperator):
    """
    Remove a conversation from what was collected, for good, and from Tavus if asked to.

    Its raw object and its renderings are deleted, the tables of its date are written anew without it, and a
    tombstone in the ledger keeps every run from collecting it again. What was done is the result, and an object
    under ``_runs/`` of the destination: the id, when, and the names of the objects. Doing it twice does no harm.

    Versions and backups that the store itself keeps, and copies that others have made, are not reached.

    :param conversation_id: which one (templated).
    :param destination: as for
        :class:`~airflow_provider_tavus.operators.collect_conversations.CollectConversationsOperator` (templated).
    :param delete_at_tavus: delete it at Tavus as well, with its recordings and everything else. This cannot be
        undone.
    :param sql_conn_id: the database into which conversations were written as well (templated).
    :param sql_schema: where its tables are (templated).
    :param tavus_conn_id: the Airflow connection to use for Tavus (templated).
    """

    template_fields: Sequence[str] = ("conversation_id", "destination", "sql_conn_id", "sql_schema", "tavus_conn_id")
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        conversation_id: str,
        destination: str | ObjectStoragePath,
        delete_at_tavus: bool = False,
        sql_conn_id: str | None = None,
        sql_schema: str | None = None,
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conversation_id = conversation_id
        self.destination = destination
        self.delete_at_tavus = delete_at_tavus
        self.sql_conn_id = sql_conn_id
        self.sql_schema = sql_schema
        self.tavus_conn_id = tavus_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the record of what was removed."""
        from airflow_provider_tavus.collect.forget import forget

        with (
            permanent_errors_are_not_retried(),
            open_copies(self.sql_conn_id, schema=self.sql_schema) as copies,
        ):
            forgotten = forget(
                checked_conversation_id(self.conversation_id),
                store=open_destination(self.destination),
                copies=copies,
                clock=time.time,
                delete_at_tavus=self._delete if self.delete_at_tavus else None,
            )
        self.log.info(
            "Forgot conversation %s: %d objects removed, %d written anew.",
            forgotten.conversation_id,
            len(forgotten.removed),
            len(forgotten.rewritten),
        )
        return forgotten.as_plain()

    def _delete(self) -> bool:
        with closing(TavusHook(self.tavus_conn_id)) as hook:
            deleted = delete_at_tavus(hook, self.conversation_id, hard=True)
        if not deleted:
            self.log.warning(
                "Tavus does not know conversation %s: it was deleted before, or is another account's.",
                self.conversation_id,
            )
        return deleted
