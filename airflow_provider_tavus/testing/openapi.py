"""What the box serves, as an OpenAPI document; the box answers it under ``/_box/openapi.json``."""

from __future__ import annotations

from typing import Any

from airflow_provider_tavus.testing import create
from airflow_provider_tavus.testing.routes import STOCK

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
OBJECT: Schema = {"type": "object"}
WHOLE_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}


def document() -> Schema:
    """Return the document."""
    one = "/v2/conversations/{conversation_id}"
    paths: Schema = {
        "/v2/conversations": {"post": _create(), "get": _list()},
        one: {"parameters": [_CONVERSATION_ID], "get": _get(), "delete": _delete()},
        f"{one}/end": {"parameters": [_CONVERSATION_ID], "post": _end()},
    }
    paths |= {f"/v2/{collection}": {"get": _stock(collection, row)} for collection, row in STOCK.items()}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Tavus in a box",
            "version": "2",
            "description": "A fake of the conversations of https://docs.tavus.io/api-reference",
        },
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
            "schemas": {
                "Conversation": _conversation(),
                "Event": _event(),
                "Error": {"type": "object", "properties": {"error": TEXT}, "required": ["error"]},
                "Message": {"type": "object", "properties": {"message": TEXT}, "required": ["message"]},
            },
        },
    }


_CONVERSATION_ID = {"name": "conversation_id", "in": "path", "required": True, "schema": TEXT}


def _create() -> Schema:
    body = {"type": "object", "properties": dict(create.FIELDS)}
    answer = {
        "type": "object",
        "properties": {
            "conversation_id": TEXT,
            "conversation_name": TEXT | {"nullable": True},
            "conversation_url": TEXT,
            "status": TEXT,
            "callback_url": TEXT,
            "created_at": TEXT,
            "meeting_token": TEXT,
        },
        "required": ["conversation_id", "conversation_url", "status", "created_at"],
    }
    refusal = {"oneOf": [_ref("Error"), _ref("Message")]}
    return {
        "operationId": "createConversation",
        "requestBody": {"content": {"application/json": {"schema": body}}},
        "responses": _responses({"200": answer, "400": refusal, "402": _ref("Message")}),
    }


def _list() -> Schema:
    parameters = [
        {"name": "limit", "in": "query", "schema": WHOLE_NUMBER | {"default": 10}},
        {"name": "page", "in": "query", "schema": WHOLE_NUMBER | {"default": 1}},
        {"name": "status", "in": "query", "schema": TEXT},
    ]
    return {
        "operationId": "listConversations",
        "parameters": parameters,
        "responses": _responses({"200": _page(_ref("Conversation")), "400": _ref("Error")}),
    }


def _get() -> Schema:
    # Only the text "true" counts, and nothing else is refused.
    verbose = {"name": "verbose", "in": "query", "schema": TEXT | {"default": "false"}}
    return {
        "operationId": "getConversation",
        "parameters": [verbose],
        "responses": _responses({"200": _ref("Conversation"), "400": _ref("Error")}),
    }


def _end() -> Schema:
    return {
        "operationId": "endConversation",
        "responses": _responses({"400": _ref("Error")}) | {"200": {"description": "Ended; the body is empty"}},
    }


def _delete() -> Schema:
    return {
        "operationId": "deleteConversation",
        "parameters": [{"name": "hard", "in": "query", "schema": TEXT}],
        "responses": _responses({"400": _ref("Error")}) | {"204": {"description": "Deleted"}},
    }


def _stock(collection: str, row: str) -> Schema:
    item = {
        "type": "object",
        "properties": {f"{row}_id": TEXT, f"{row}_name": TEXT},
        "required": [f"{row}_id"],
    }
    return {
        "operationId": f"list{collection.capitalize()}",
        "parameters": [{"name": "limit", "in": "query", "schema": TEXT}],
        "responses": _responses({"200": _page(item)}),
    }


def _conversation() -> Schema:
    labels = {
        name: TEXT | {"nullable": True}
        for name in ("conversation_name", "conversation_url", "callback_url", "shutdown_reason")
    }
    names = dict.fromkeys(("replica_id", "persona_id", "face_id", "pal_id", "created_at", "updated_at"), TEXT)
    events = {"type": "array", "nullable": True, "items": _ref("Event")}
    return {
        "type": "object",
        "properties": {"conversation_id": TEXT, "status": TEXT, "events": events} | labels | names,
        "required": ["conversation_id", "status"],
    }


def _event() -> Schema:
    return {
        "type": "object",
        "properties": {"event_type": TEXT, "timestamp": TEXT | {"format": "date-time"}, "properties": OBJECT},
        "required": ["event_type", "timestamp"],
    }


def _page(item: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"data": {"type": "array", "items": item}, "total_count": {"type": "integer"}},
        "required": ["data", "total_count"],
    }


def _responses(schemas: Schema) -> Schema:
    return {
        status: {"description": "", "content": {"application/json": {"schema": schema}}}
        for status, schema in (schemas | {"401": _ref("Message")}).items()
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
