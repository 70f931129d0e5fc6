from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api import calls
from airflow_provider_tavus.api.answers import Answer, read_answer
from airflow_provider_tavus.api.errors import ApiError, TavusError

GET = calls.get_conversation("c1")


def answered(body: bytes, status: int = 200) -> Any:
    return read_answer(GET, Answer(status, {}, body))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"lone \ud83d"', "lone \ufffd"),
        (r'"nul \u0000"', "nul \ufffd"),
        ('"über"', "über"),
        ("NaN", None),
        (r'{"\u0000": ["\udfff"]}', {"\ufffd": ["\ufffd"]}),
    ],
)
def test_what_no_database_stores_is_replaced(sent: str, read: Any) -> None:
    conversation = answered(f'{{"conversation_id": "c1", "odd": {sent}}}'.encode())

    assert conversation.odd == read
    json.dumps(conversation.odd, ensure_ascii=False).encode()


def test_bytes_that_are_no_utf_8_do_not_cost_the_rest() -> None:
    assert answered(b'{"conversation_id": "c1", "conversation_name": "caf\xe9"}').conversation_name == "caf\ufffd"


@given(
    status=st.integers(100, 599),
    body=st.binary() | st.text().map(str.encode),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-request-id", "content-type"]), st.text(max_size=20)),
)
def test_whatever_comes_is_a_conversation_or_one_of_our_errors(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    with suppress(TavusError):
        assert read_answer(GET, Answer(status, headers, body)).conversation_id == "c1"


@pytest.mark.parametrize("name", ["error", "message"])
def test_tavus_own_words_are_passed_on_in_one_short_line(name: str) -> None:
    with pytest.raises(ApiError) as raised:
        answered(json.dumps({name: "first line\nsecond line " + "x" * 1000}).encode(), status=400)

    assert "first line second line" in str(raised.value)
    assert len(str(raised.value)) < 500


def test_the_repr_of_an_answer_shows_no_body() -> None:
    assert "secret" not in repr(Answer(200, {}, b"secret"))
