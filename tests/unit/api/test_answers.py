from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api import calls
from airflow_provider_tavus.api.answers import LONGEST_REASON, Answer, read_answer
from airflow_provider_tavus.api.errors import ApiError, TavusError

GET = calls.get_conversation("c1")
KEY = "canary-key-4f1d9c77"


def answered(body: bytes, status: int = 200) -> Any:
    return read_answer(GET, Answer(status, {}, body), api_key=KEY)


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
        assert read_answer(GET, Answer(status, headers, body), api_key=KEY).conversation_id == "c1"


@pytest.mark.parametrize("name", ["error", "message"])
def test_tavus_own_words_are_passed_on_in_one_short_line(name: str) -> None:
    with pytest.raises(ApiError) as raised:
        answered(json.dumps({name: "first line\nsecond line " + "x" * 1000}).encode(), status=400)

    assert "first line second line" in str(raised.value)
    assert len(str(raised.value)) < 500


PROMPT = 'Patient: Ada\nHIV: yes\n"患者" C:\\notes\\new'
SENT = {
    "custom_greeting": PROMPT,
    "pal_id": "p123456789",
    "conversational_context": "You are speaking with Ms. Petrova about her loan.",
    "callback_url": "https://hooks.example.com/token-0123456789",
    "properties": {"closed_captions": True, "secrets": ["a token of 25 characters"]},
}


def refused(status: int, words: str) -> str:
    answer = Answer(status, {}, json.dumps({"message": words}).encode())
    with pytest.raises(ApiError) as raised:
        read_answer(calls.create_conversation(SENT), answer, api_key=KEY)
    return str(raised.value)


@pytest.mark.parametrize(
    ("words", "repeated"),
    [
        (f"too long: {SENT['conversational_context']}", "too long: ***"),
        ("too long: You are speaking   with\nMs. Petrova about her loan.", "too long: ***"),
        (f"{{'callback_url': '{SENT['callback_url']}'}} is no URL", "{'callback_url': '***'} is no URL"),
        ("cannot reach https://hooks.example.com/token-012345", "cannot reach ***"),
        ("cannot reach https://hooks.example.com/token-01%32canary", "cannot reach ***."),
        ("unknown secret 'a token of 25 characters'", "unknown secret '***'"),
        ("'You are speaking with Ms. Petr...' is too long", "'***...' is too long"),
        ("no speaking with Ms. Petrova about her car", "no***car"),
        ("Invalid pal_id p123456789", "Invalid pal_id p123456789"),
        (f"bad: {PROMPT!r}", "bad: '***'"),
        (f"bad: {json.dumps(PROMPT)}", 'bad: "***"'),
        (f"bad: {PROMPT}", "bad: ***"),
        (r"no \ud83d\ude00 and \ud83d", "no \U0001f600 and \ufffd"),
        (r"no \x1b[31m and \u0007", "no [31m and."),
        ("no \x1b[31m and \a", "no [31m and."),
        (r"no \x9b31m and \u202e", "no 31m and."),
        ("no \x9b31m and \u202e", "no 31m and."),
    ],
)
def test_tavus_own_words_repeat_nothing_that_was_sent_but_ids(words: str, repeated: str) -> None:
    assert repeated in refused(400, words)


def test_what_was_sent_is_left_out_before_the_words_are_cut() -> None:
    for filling in range(LONGEST_REASON):
        assert "Petrova" not in refused(422, "x" * filling + str(SENT["conversational_context"]))


def test_a_key_that_is_refused_is_not_repeated() -> None:
    assert "canary" not in refused(401, "Invalid access token: canary")


@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 429])
def test_no_refusal_repeats_the_key_or_most_of_it(status: int) -> None:
    assert "API key *** has no access" in refused(status, f"API key {KEY} has no access")
    assert "canary" not in refused(status, f"API key {KEY[:-3]}... has no access")


def test_of_a_long_answer_no_more_is_gone_through_than_is_needed() -> None:
    assert "x" * LONGEST_REASON in refused(400, "x" * 50_000_000)


def test_the_repr_of_an_answer_shows_no_body() -> None:
    assert "secret" not in repr(Answer(200, {}, b"secret"))
