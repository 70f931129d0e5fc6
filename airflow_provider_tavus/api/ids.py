"""Ids as users pass them."""

from __future__ import annotations

from airflow_provider_tavus.api.errors import InvalidArgumentError

SEVERAL_IN_A_TEXT = frozenset("[](){}'\",;")
"""What stands around ids, or between them. Tavus would know no such conversation, which may count as a success."""


def checked_conversation_id(conversation_id: object) -> str:
    """
    Return an id that can be asked for.

    Ids have no documented form, so refused is only what cannot be one, would address something else, or comes
    out of a template that read nothing.

    :raises InvalidArgumentError: saying what was passed and what to pass.
    """
    if not isinstance(conversation_id, str):
        raise InvalidArgumentError(f"A conversation_id must be a string, not {type(conversation_id).__name__}.")
    if conversation_id == "None":
        raise InvalidArgumentError(
            "The conversation_id is 'None': the XCom or variable that its template reads is not there."
        )
    if "://" in conversation_id:
        # Not repeated: it may be the room's, which anybody can enter who has it.
        raise InvalidArgumentError("The conversation_id is a URL: pass the id alone, such as 'c123456'.")
    if not SEVERAL_IN_A_TEXT.isdisjoint(conversation_id):
        raise InvalidArgumentError(
            "The conversation_id is several in one text, or a list that a template rendered as text: pass the upstream "
            "task's output itself, or set render_template_as_native_obj=True on the DAG."
        )
    one_word = conversation_id.isprintable() and not any(character.isspace() for character in conversation_id)
    if not one_word or conversation_id in {"", ".", ".."}:
        raise InvalidArgumentError(
            f"{conversation_id[:40]!r} is no conversation_id: pass an id such as 'c123456', as Tavus gave it when "
            "the conversation was created."
        )
    return conversation_id
