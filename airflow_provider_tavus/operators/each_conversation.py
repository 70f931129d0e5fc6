"""One piece of work done to each of several conversations, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_tavus.api.errors import AuthenticationError, ConfigurationError, InvalidArgumentError, TavusError
from airflow_provider_tavus.conversations.arguments import checked_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.providers.common.compat.sdk import BaseOperator, Context

SucceedOrFail = Literal["succeed", "fail"]


def checked_choice(name: str, choice: SucceedOrFail) -> SucceedOrFail:
    """
    Return what is to become of a task.

    :raises ValueError: if it is neither ``succeed`` nor ``fail``.
    """
    if choice not in {"succeed", "fail"}:
        raise ValueError(f"{name} must be 'succeed' or 'fail', not {choice!r}.")
    return choice


def work_on_each(
    operator: BaseOperator, context: Context, conversation_id: str | Iterable[str], work: Callable[[str], str]
) -> dict[str, Any] | list[dict[str, Any]]:
    """
    Do ``work`` to a conversation or to each of a list, and return what became of it.

    For each that is ``conversation_id``, ``outcome`` (what ``work`` returned, or ``failed``) and ``error`` (why it
    failed, or None). If one failed, all the same all are worked on; the results are then in the XCom, and raised is
    the error that decides over the task's retries: a transient one if there is one.

    :raises TavusError: if one failed; at once if it is about the connection and so about all of them.
    """
    results: list[dict[str, Any]] = []
    faults: list[TavusError] = []
    if isinstance(conversation_id, Mapping):
        # Its keys would be taken for ids, and to delete unknown ones counts as a success.
        raise InvalidArgumentError(
            "conversation_id is a mapping, such as the whole result of an upstream task: pass the id in it, for "
            "instance create.output['conversation_id']."
        )
    ids = checked_ids(conversation_id)
    if isinstance(conversation_id, str):
        context["ti"].xcom_push(key="conversation_id", value=conversation_id)
    for one in ids:
        result: dict[str, Any] = {"conversation_id": one, "outcome": "failed", "error": None}
        results.append(result)
        try:
            result["outcome"] = work(one)
        except (AuthenticationError, ConfigurationError):
            raise
        except TavusError as fault:
            result["error"] = str(fault)
            faults.append(fault)
            operator.log.error("Conversation %s: %s", one, fault)
        else:
            operator.log.info("Conversation %s: %s.", one, result["outcome"].replace("_", " "))
    shaped = results[0] if isinstance(conversation_id, str) else results
    if faults:
        if operator.do_xcom_push:
            # A task that fails returns nothing, and nobody would learn which ones were worked on.
            context["ti"].xcom_push(key="return_value", value=shaped)
        operator.log.error("%d of %d conversations failed.", len(faults), len(ids))
        raise next((fault for fault in faults if fault.transient), faults[0])
    return shaped
