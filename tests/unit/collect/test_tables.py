from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest

from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.collect.rows import rows_of
from airflow_provider_tavus.collect.tables import (
    CONVERSATIONS,
    EVENTS,
    TABLES,
    TURNS,
    by_table,
    json_lines,
    read_json_lines,
    rows_of_lines,
)

BODY: dict[str, Any] = {
    "conversation_id": "c1",
    "status": "ended",
    "created_at": "2026-04-29T03:45:49Z",
    "document_ids": ["d1"],
    "events": [
        {"event_type": "system.shutdown", "timestamp": "2026-04-29T03:47:01Z", "properties": {"b": 1, "a": 2}},
        {
            "event_type": "application.transcription_ready",
            "properties": {
                "transcript": [
                    {"role": "user", "content": "one\ntwo\u2028three\U0001f600", "duration": 2},
                    {"role": "assistant", "tool_calls": [{"name": "f", "id": "1"}]},
                ]
            },
        },
    ],
}


def test_a_row_is_one_line_with_all_columns_in_their_order() -> None:
    for table, rows in by_table(rows_of(Conversation.from_json(BODY))):
        lines = json_lines(rows).decode().removesuffix("\n").split("\n")
        assert len(lines) == len(rows)
        for line in lines:
            assert list(json.loads(line)) == [column.name for column in table.columns]


def test_the_key_is_made_of_columns() -> None:
    for table in TABLES:
        assert set(table.key) <= {column.name for column in table.columns}


def test_the_order_in_which_tavus_sends_fields_changes_no_byte() -> None:
    def turned_round(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned_round(value[name]) for name in reversed(value)}
        return [turned_round(item) for item in value] if isinstance(value, list) else value

    as_sent, otherwise = (rows_of(Conversation.from_json(body)) for body in (BODY, turned_round(BODY)))

    assert [json_lines(rows) for _, rows in by_table(as_sent)] == [json_lines(rows) for _, rows in by_table(otherwise)]


def test_what_was_written_is_read_back() -> None:
    for table, rows in by_table(rows_of(Conversation.from_json(BODY))):
        assert list(read_json_lines(table, io.BytesIO(json_lines(rows)))) == rows


def test_the_lines_of_a_conversation_are_its_rows() -> None:
    rows = rows_of(Conversation.from_json(BODY))

    assert rows_of_lines([json_lines(each) for _, each in by_table(rows)]) == rows


def test_lines_of_an_older_or_a_newer_schema_can_be_read() -> None:
    (row,) = read_json_lines(TURNS, [b'{"conversation_id": "c1", "turn_index": 3, "a_newer_column": 1}\n'])

    assert (row.conversation_id, json.loads(json_lines([row]))["content"]) == ("c1", None)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"conversation_id": 1}'])
def test_what_is_no_row_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError, match=r"Expected|truncated"):
        list(read_json_lines(EVENTS, [line]))


def test_no_line_is_read_before_it_is_asked_for() -> None:
    lines = iter([b'{"conversation_id": "c1"}\n', b"never reached"])

    assert next(read_json_lines(CONVERSATIONS, lines)).conversation_id == "c1"
