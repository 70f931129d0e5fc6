"""
The body of the call that creates a conversation, checked before anything is sent.

Fields are those of https://docs.tavus.io/api-reference/conversations/create-conversation. What is not documented is
passed on as it is: Tavus adds fields now and then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_tavus.api.errors import InvalidArgumentError

Reader = Callable[[str, Any], Any]
"""Returns the value to send for the value of a field of that name, or raises InvalidArgumentError."""
TEMPLATES_RENDER_TEXT = "A template renders text unless the DAG has render_template_as_native_obj=True."


def create_body(fields: Mapping[str, Any], extra_fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the body that the fields make up.

    A template renders text, so the texts ``True``, ``False`` and numbers in digits are read as what they say.

    :param fields: documented ones by name; None counts as not given.
    :param extra_fields: any others, sent as they are; None counts as not given.
    :raises InvalidArgumentError: naming the field and what it may be, never a value that may be a secret.
    """
    extra = {} if extra_fields is None else _object("extra_fields", extra_fields)
    if known := sorted(FIELDS.keys() & extra.keys()):
        raise InvalidArgumentError(f"Pass {', '.join(known)} as an argument of its own, not in extra_fields.")
    given = {name: value for name, value in fields.items() if value is not None}
    _check_names(given, "")
    if not given.keys() & {"face_id", "replica_id", "pal_id", "persona_id"}:
        raise InvalidArgumentError("Pass a pal_id or a face_id, or both: who is to hold the conversation?")
    body = {name: FIELDS[name](name, value) for name, value in given.items()}
    _check_json(body | {"extra_fields": extra})
    return body | extra


def names_given(fields: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields that are not None, and of those in ``properties``."""
    properties = fields.get("properties")
    inner = properties if isinstance(properties, Mapping) else {}
    told = {**fields, **{f"properties.{name}": value for name, value in inner.items()}}
    return {name for name, value in told.items() if value is not None}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} must be text, not {type(value).__name__}.{_hint(value)}")
    if value.strip() == "None":
        # To be greeted with it is odd, and to share the memories of a store of that name is worse.
        raise _nothing_read(name, value)
    return value


def _hint(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return " With render_template_as_native_obj=True, digits render a number: quote the template, \"'{{ ... }}'\"."
    return ""


def _nothing_read(name: str, text: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} is {text!r}: what its template reads is not there.")


def _id(name: str, value: Any) -> str:
    text = _text(name, value)
    if not text.strip():
        raise _nothing_read(name, text)
    return text


def _url(name: str, value: Any) -> str:
    text = _text(name, value)
    if not text.startswith(("https://", "http://")):
        raise InvalidArgumentError(f"{name} must be a URL that begins with https:// (it is not shown here).")
    return text


def _texts(name: str, value: Any) -> list[str]:
    # What a mapped task returned is a sequence of Airflow's own.
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidArgumentError(
            f"{name} must be a list of texts, not {type(value).__name__}. {TEMPLATES_RENDER_TEXT}"
        )
    return [_id(f"one of {name}", one) for one in value]


def _one_of(*choices: str) -> Reader:
    def read(name: str, value: Any) -> str:
        if value not in choices:
            raise InvalidArgumentError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return str(value)

    return read


def _yes_or_no(name: str, value: Any) -> bool:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} must be True or False, not {value!r}.")
    return value


def _whole_number(at_least: int) -> Reader:
    def read(name: str, value: Any) -> int:
        number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < at_least:
            raise InvalidArgumentError(f"{name} must be a whole number from {at_least} on, not {value!r}.")
        return number

    return read


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"{name} must be a mapping, not {type(value).__name__}. {TEMPLATES_RENDER_TEXT}")
    return dict(value)


def _properties(name: str, value: Any) -> dict[str, Any]:
    given = {inner: inner_value for inner, inner_value in _object(name, value).items() if inner_value is not None}
    _check_names(given, f"{name}.")
    return {
        inner: PROPERTIES[inner](f"{name}.{inner}", inner_value) if inner in PROPERTIES else inner_value
        for inner, inner_value in given.items()
    }


PROPERTIES: Mapping[str, Reader] = {
    "max_call_duration": _whole_number(0),
    "participant_left_timeout": _whole_number(0),
    "participant_absent_timeout": _whole_number(0),
    "enable_recording": _yes_or_no,
    "enable_closed_captions": _yes_or_no,
    "apply_greenscreen": _yes_or_no,
    "language": _text,
    "languages": _texts,
    "recording_storage": _object,
    "recording_s3_bucket_name": _text,
    "recording_s3_bucket_region": _text,
    "aws_assume_role_arn": _text,
}
"""The documented fields of ``properties``."""

FIELDS: Mapping[str, Reader] = {
    "face_id": _id,
    "replica_id": _id,
    "pal_id": _id,
    "persona_id": _id,
    "audio_only": _yes_or_no,
    "callback_url": _url,
    "conversation_name": _text,
    "conversational_context": _text,
    "custom_greeting": _text,
    "memory_stores": _texts,
    "participant_tags": _texts,
    "document_ids": _texts,
    "document_tags": _texts,
    "document_retrieval_strategy": _one_of("speed", "quality", "balanced"),
    "test_mode": _yes_or_no,
    "require_auth": _yes_or_no,
    "max_participants": _whole_number(1),
    "properties": _properties,
}
"""The documented fields of the body."""

ONE_THING: tuple[tuple[str, ...], ...] = (
    ("face_id", "replica_id"),
    ("pal_id", "persona_id"),
    ("memory_stores", "participant_tags"),
    ("language", "languages"),
    ("recording_storage", "recording_s3_bucket_name"),
    ("recording_storage", "recording_s3_bucket_region"),
    ("recording_storage", "aws_assume_role_arn"),
)
"""The newer and the older names of one thing, of which one can be said."""


def _check_names(given: Mapping[str, Any], prefix: str) -> None:
    for names in ONE_THING:
        if given.keys() >= set(names):
            raise InvalidArgumentError(
                f"{prefix}{names[0]} and {prefix}{names[1]} say the same thing: pass one of them, best {names[0]}."
            )


def _check_json(given: Mapping[str, Any]) -> None:
    # Here and not when it is sent: by then it is noted that a conversation may exist, and every retry looks for it.
    for name, value in given.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            # Not chained: what an encoder says may quote the value.
            raise InvalidArgumentError(
                f"{name} holds something that JSON cannot carry: pass text, finite numbers, True, False and None, "
                "and lists and mappings of these, with text as keys; a date as text, for instance."
            ) from None
