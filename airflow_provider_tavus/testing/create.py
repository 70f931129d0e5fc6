"""
The body of POST /v2/conversations.

Fields are those of https://docs.tavus.io/api-reference/conversations/create-conversation. Fields that are not
documented are let pass, since Tavus adds some now and then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_tavus.testing.script import Script

Field = Mapping[str, Any]
"""The JSON schema of a field."""

_TEXT: Field = {"type": "string"}
_TEXTS: Field = {"type": "array", "items": {"type": "string"}}
_YES_OR_NO: Field = {"type": "boolean"}
_SECONDS: Field = {"type": "integer", "minimum": 0, "maximum": 86_400}
_OBJECT: Field = {"type": "object"}

PROPERTIES: Mapping[str, Field] = {
    "max_call_duration": _SECONDS,
    "participant_left_timeout": _SECONDS,
    "participant_absent_timeout": _SECONDS,
    "enable_recording": _YES_OR_NO,
    "enable_closed_captions": _YES_OR_NO,
    "apply_greenscreen": _YES_OR_NO,
    "language": _TEXT,
    "languages": _TEXTS,
    "recording_storage": _OBJECT,
    "recording_s3_bucket_name": _TEXT,
    "recording_s3_bucket_region": _TEXT,
    "aws_assume_role_arn": _TEXT,
}
FIELDS: Mapping[str, Field] = {
    "replica_id": _TEXT,
    "face_id": _TEXT,
    "persona_id": _TEXT,
    "pal_id": _TEXT,
    "audio_only": _YES_OR_NO,
    "callback_url": _TEXT,
    "conversation_name": _TEXT,
    "conversational_context": _TEXT,
    "custom_greeting": _TEXT,
    "memory_stores": _TEXTS,
    "participant_tags": _TEXTS,
    "document_ids": _TEXTS,
    "document_tags": _TEXTS,
    "document_retrieval_strategy": {"type": "string", "enum": ["speed", "quality", "balanced"]},
    "test_mode": _YES_OR_NO,
    "require_auth": _YES_OR_NO,
    "max_participants": {"type": "integer", "minimum": 1},
    "properties": {"type": "object", "properties": PROPERTIES},
}
_PYTHON_TYPES: Mapping[str, type] = {"string": str, "array": list, "boolean": bool, "object": dict}


def parsed(content: bytes) -> dict[str, Any]:
    """
    Return the fields of a create call.

    :raises ValueError: if they are none that the documentation allows, with the reason.
    """
    try:
        body = json.loads(content or b"{}")
    except ValueError:
        raise ValueError("The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise ValueError("The request body must be an object")
    for name, field in FIELDS.items():
        if name in body:
            _check(name, body[name], field)
    return body


def limited(script: Script, body: Mapping[str, Any]) -> Script:
    """Return a script under the time limits of a create call."""
    return script.limited_by(
        max_call_duration=body.get("properties", {}).get("max_call_duration", 3600),
        participant_absent_timeout=body.get("properties", {}).get("participant_absent_timeout", 300),
    )


def _check(name: str, given: Any, field: Field) -> None:
    if not _is_of_type(given, field["type"]):
        raise ValueError(f"{name} must be of type {field['type']}")
    if "enum" in field and given not in field["enum"]:
        raise ValueError(f"{name} must be one of {', '.join(field['enum'])}")
    if "minimum" in field and not field["minimum"] <= given <= field.get("maximum", given):
        raise ValueError(f"{name} is out of range")
    for one in given if "items" in field else ():
        _check(f"each of {name}", one, field["items"])
    for inner, inner_field in field.get("properties", {}).items():
        if inner in given:
            _check(f"{name}.{inner}", given[inner], inner_field)


def _is_of_type(given: Any, kind: str) -> bool:
    if kind == "integer":
        whole = isinstance(given, int) or (isinstance(given, float) and given.is_integer())
        return whole and not isinstance(given, bool)
    return isinstance(given, _PYTHON_TYPES[kind])
