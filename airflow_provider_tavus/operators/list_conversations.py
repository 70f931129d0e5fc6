"""The operator that lists conversations."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_tavus.api.errors import InvalidArgumentError, UnknownConversationError
from airflow_provider_tavus.conversations.labels import Labels
from airflow_provider_tavus.conversations.secrets import checked_include
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.links.conversation import ConversationLink

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tavus.api.models import Conversation


FILTERS = ("status", "created_after", "created_before", "conversation_name", "pal_id", "face_id")


class NotGiven(Enum):
    """The value of an argument that was left out, where None may have been meant to be something."""

    NOT_GIVEN = "not given"

    def __str__(self) -> str:
        """Say it as the guides do."""
        return self.value


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
T = TypeVar("T")


class ListConversationsOperator(BaseOperator):
    """
    List the conversations that all filters let pass, oldest first.

    Returns their ids, ready for ``expand``, or rows in the shape of
    :func:`airflow_provider_tavus.conversations.plain.as_plain`, without transcripts. The list is read until nothing
    is missing, although its pages shift while they are read.

    .. seealso:: https://docs.tavus.io/api-reference/conversations/get-conversations

    :param status: ``active`` or ``ended``; all if not given. As any of these it may be None, but not in a mapped task
        (templated).
    :param created_after: a datetime or ISO 8601 text, in UTC if it says no zone: conversations created then or
        later (templated).
    :param created_before: likewise, conversations created before then (templated).
    :param conversation_name: a pattern for the whole name with ``*`` and ``?``, such as ``"Interview *"`` (templated).
    :param pal_id: conversations with this PAL, which was called persona (templated).
    :param face_id: conversations with this face, which was called replica (templated).
    :param returns: ``ids`` or ``rows``.
    :param include: names of fields that rows keep of ``conversation_url`` and ``callback_url``, which are left out
        because whoever reads them can enter the room or post in the user's name.
    :param max_conversations: if more pass the filters, the task fails. Airflow maps a task over 1,024 at most,
        unless ``[core] max_map_length`` says otherwise.
    :param tavus_conn_id: the Airflow connection to use (templated).
    """

    template_fields: Sequence[str] = (*FILTERS, "tavus_conn_id")
    operator_extra_links = (ConversationLink(),)
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        status: str | NotGiven | None = NOT_GIVEN,
        created_after: datetime | str | NotGiven | None = NOT_GIVEN,
        created_before: datetime | str | NotGiven | None = NOT_GIVEN,
        conversation_name: str | NotGiven | None = NOT_GIVEN,
        pal_id: str | NotGiven | None = NOT_GIVEN,
        face_id: str | NotGiven | None = NOT_GIVEN,
        returns: Literal["ids", "rows"] = "ids",
        include: Collection[str] = (),
        max_conversations: int = 1000,
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if returns not in {"ids", "rows"}:
            raise ValueError(f"returns must be 'ids' or 'rows', not {returns!r}.")
        if isinstance(max_conversations, bool) or not isinstance(max_conversations, int) or max_conversations < 1:
            raise ValueError(f"max_conversations must be a whole number from 1 on, not {max_conversations!r}.")
        self.status = _given(status)
        self.created_after = _given(created_after)
        self.created_before = _given(created_before)
        self.conversation_name = _given(conversation_name)
        self.pal_id = _given(pal_id)
        self.face_id = _given(face_id)
        self.returns = returns
        self.include = checked_include(include)
        self.max_conversations = max_conversations
        self.tavus_conn_id = tavus_conn_id
        filters = (status, created_after, created_before, conversation_name, pal_id, face_id)
        self._none = [name for name, value in zip(FILTERS, filters, strict=True) if value is None]
        self._filters = [name for name in FILTERS if getattr(self, name) is not None]

    def execute(self, context: Context) -> list[Any]:
        """Return the ids or the rows."""
        from airflow_provider_tavus.conversations.plain import as_plain

        with permanent_errors_are_not_retried(), closing(TavusHook(self.tavus_conn_id)) as hook:
            map_index = context["ti"].map_index
            self._check_filters(is_mapped=map_index is not None and map_index >= 0)
            found = self._found(hook)
        self.log.info("Found %d conversations.", len(found))
        if self.returns == "ids":
            return [conversation.conversation_id for conversation in found]
        return [as_plain(conversation, include=self.include) for conversation in found]

    def _found(self, hook: TavusHook) -> list[Conversation]:
        from airflow_provider_tavus.api.listing import every_conversation

        after = _moment("created_after", self.created_after)
        before = _moment("created_before", self.created_before)
        wanted = Labels(self.conversation_name, self.pal_id, self.face_id)
        found: list[tuple[datetime | None, Conversation]] = []
        for conversation in every_conversation(hook.send, status=self.status):
            if not wanted.fit(Labels(conversation.conversation_name, conversation.pal_id, conversation.face_id)):
                continue
            created_at = conversation.created_at
            if created_at is None and (after or before):
                # Rows come without times now and then.
                try:
                    created_at = hook.get_conversation(conversation.conversation_id).created_at
                except UnknownConversationError:
                    # It was deleted while the list was read.
                    continue
            if created_at and ((after and created_at < after) or (before and created_at >= before)):
                continue
            if created_at is None and (after or before):
                # What is old is what is deleted; and what is new is not to be missed.
                told = "left out" if before else "listed"
                self.log.warning("Conversation %s tells no creation time: %s.", conversation.conversation_id, told)
                if before:
                    continue
            found.append((created_at, conversation))
            if len(found) > self.max_conversations:
                raise InvalidArgumentError(
                    f"More than {self.max_conversations} conversations pass the filters: narrow them, or raise "
                    "max_conversations."
                )
        found.sort(key=lambda one: (one[0] or datetime.min.replace(tzinfo=UTC), one[1].conversation_id))
        return [conversation for _, conversation in found]

    def _check_filters(self, *, is_mapped: bool) -> None:
        # Everything would pass a filter that is None, and may be deleted next.
        if is_mapped and self._none:
            # The arguments of a mapped task are there when it is made, unlike what a template renders.
            raise InvalidArgumentError(
                f"{' and '.join(self._none)} is None in this mapped task: leave None out of what it is expanded over. "
                "Where nothing is to be filtered by, leave the argument out."
            )
        for name in self._filters:
            if getattr(self, name) is None:
                # As a DAG with native rendering makes it.
                raise InvalidArgumentError(
                    f"{name} is None: what its template reads is not there. Let the template say what is to pass then."
                )
        if self.status not in (None, "active", "ended"):  # no set: a list, which a template can make, has no hash
            raise InvalidArgumentError(f"status must be 'active', 'ended' or None, not {self.status!r}.")
        for name in ("conversation_name", "pal_id", "face_id"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, str):
                raise InvalidArgumentError(f"{name} must be text, not {type(given).__name__}.")
            # Nothing would pass, and nobody would be told why. To have no name at all, though, is to pass "".
            if given == "None" or (given == "" and name != "conversation_name"):
                raise InvalidArgumentError(f"{name} is {given!r}: what its template reads is not there.")


def _given(value: T | NotGiven) -> T | None:
    return None if isinstance(value, NotGiven) else value


def _moment(name: str, given: datetime | str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except (ValueError, TypeError):
        raise InvalidArgumentError(
            f"{name} must be a datetime or ISO 8601 text such as '2026-11-23T00:00:00Z', not {given!r}."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
