from __future__ import annotations

import io
import json

import pytest

from airflow_provider_tavus.collect.formats import FORMATS, TABLE_BY_NAME, lines_of_tables

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
