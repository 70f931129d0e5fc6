"""One piece of work done to each of several conversations, whatever becomes of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_tavus.api.errors import AuthenticationError, ConfigurationError, TavusError
from airflow_provider_tavus.conversations.arguments import checked_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.providers.common.compat.sdk import BaseOperator, Context

SucceedOrFail = Literal["succeed", "fail"]

NOT_TRIED = "The task ended before it was this conversation's turn."
UNDER_WAY = "The task ended while it was this conversation's turn: it may be done."


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
    failed, or None). If one failed, all the same all are worked on; raised is then the error that decides over the
    task's retries: a transient one if there is one. However this ends, the results are in the XCom; and where Airflow
    keeps state for a task, its retry works on those alone that are not done.

    :raises TavusError: if one failed; at once if it is about the connection and so about all of them.
    """
    faults: list[TavusError] = []
    ids = checked_ids(conversation_id)
    if isinstance(conversation_id, str):
        context["ti"].xcom_push(key="conversation_id", value=conversation_id)
    earlier = _done_by_earlier_tries(context)
    results = [_so_far(one, earlier.get(one)) for one in ids]
    shaped = results[0] if isinstance(conversation_id, str) else results
    try:
        for one, result in zip(ids, results, strict=True):
            if one in earlier:
                continue
            result["error"] = UNDER_WAY
            try:
                result |= {"outcome": work(one), "error": None}
            except TavusError as fault:
                result["error"] = str(fault)
                if isinstance(fault, AuthenticationError | ConfigurationError):
                    raise
                faults.append(fault)
                operator.log.error("Conversation %s: %s", one, fault)
            else:
                operator.log.info("Conversation %s: %s.", one, result["outcome"].replace("_", " "))
        if faults:
            operator.log.error("%d of %d conversations failed.", len(faults), len(ids))
            raise next((fault for fault in faults if fault.transient), faults[0])
    except BaseException:
        # Also when the task's time is over. One that fails returns nothing, and nobody would learn what was done.
        _note_what_is_done(context, results)
        if operator.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=shaped)
        raise
    return shaped


def _so_far(conversation_id: str, outcome: str | None) -> dict[str, Any]:
    done = {"outcome": outcome, "error": None} if outcome else {"outcome": "failed", "error": NOT_TRIED}
    return {"conversation_id": conversation_id} | done


def _done_by_earlier_tries(context: Context) -> dict[str, str]:
    """Return the outcomes that earlier tries noted, by conversation: to end or delete again would find it gone."""
    store: Any = context.get("task_state_store")
    kept = None if store is None else store.get(_state_key(context))
    return kept if isinstance(kept, dict) else {}


def _note_what_is_done(context: Context, results: list[dict[str, Any]]) -> None:
    # Airflow 3.3 and later; before, there is nowhere to note it.
    store: Any = context.get("task_state_store")
    if store is not None:
        done = {result["conversation_id"]: result["outcome"] for result in results if result["error"] is None}
        store.set(_state_key(context), done)


def _state_key(context: Context) -> str:
    # Clearing a task raises max_tries, and what follows is asked of Tavus anew.
    return f"outcomes/{context['ti'].max_tries}"
