from __future__ import annotations

import io
import json

import pytest

from airflow_provider_tavus.collect.formats import FORMATS, TABLE_BY_NAME, lines_of_tables, rendered
from airflow_provider_tavus.conversations.renderings.lines import Style

BODY = b'{"conversation_id": "c1", "status": "ended", "events": [{"event_type": "system.shutdown"}]}'


def test_a_body_becomes_the_lines_of_each_table() -> None:
    conversations, turns, events = lines_of_tables(BODY)

    assert json.loads(conversations)["status"] == "ended"
    assert turns == b""
    assert json.loads(events)["event_type"] == "system.shutdown"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"conversation_id": null}'])
def test_what_is_no_conversation_is_refused_without_its_words(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        lines_of_tables(body.replace(b"null", b'["canary"]'))

    assert "canary" not in str(raised.value)


def test_a_body_is_rendered_as_asked_for() -> None:
    ready = {"properties": {"transcript": [{"role": "user", "content": "Grüße", "seconds_from_start": 1}]}}
    event = {"event_type": "application.transcription_ready"} | ready
    body = json.dumps({"conversation_id": "c1", "events": [event]}).encode()

    found = rendered(body, endings=["txt", "vtt"], style=Style(names={"user": "Ada"}))

    assert found.keys() == {"txt", "vtt"}
    assert found["txt"].decode() == "[00:00:01] Ada: Grüße\n"
    assert rendered(BODY, endings=["txt"], style=Style()) == {"txt": b""}


def test_lines_are_written_as_they_are() -> None:
    file = io.BytesIO()
    writer = FORMATS["jsonl"](TABLE_BY_NAME["turns"], file)
    for lines in (b"1\n", b"", b"2\n3\n"):
        writer.write(lines)
    writer.close()

    assert file.getvalue() == b"1\n2\n3\n"


def test_parquet_is_parquet() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed beside this Airflow")
    file = io.BytesIO()
    FORMATS["parquet"](TABLE_BY_NAME["turns"], file).close()

    assert (file.getvalue()[:4], file.getvalue()[-4:]) == (b"PAR1", b"PAR1")
