"""The quick way of reading a page of the list gives what the models give, whatever is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_tavus.api.json_text import read_json
from airflow_provider_tavus.api.models import ConversationPage
from airflow_provider_tavus.collect.index import Row
from airflow_provider_tavus.collect.page import Page, look_at_page, page_of, read_page
from airflow_provider_tavus.conversations.events import has_ended

odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
times = st.sampled_from(
    [
        "2026-04-29T03:47:01Z",
        "2026-04-29 05:47:01.1234567+02:00",
        "2026-04-29T03:47:01",
        "2026-04-29t03:47:60z",
        "20260429",
        "1777434421",
        1777434421,
        1777434421000,
    ]
)
rows = st.fixed_dictionaries(
    {},
    optional={
        "conversation_id": st.sampled_from(["c1", "c2"]) | odd,
        "status": st.sampled_from(["active", "ended", " Active ", "ENDED", "error", ""]) | odd,
        "created_at": times | odd,
        "updated_at": times | odd,
        "conversation_name": odd,
        "events": st.lists(odd, max_size=2) | odd,
    },
)
counts = st.sampled_from([0, 3, -1, 3.0, 3.5, "3", 2**53 + 1, 2**63, 2**64]) | odd
pages = st.fixed_dictionaries(
    {},
    optional={
        "data": st.lists(rows, max_size=3) | st.lists(rows | odd, max_size=3) | odd,
        "total_count": counts,
        "rows": st.lists(rows, max_size=2),
        "row_count": counts,
        "other": odd,
    },
)


def by_models(body: bytes) -> Page | None:
    try:
        page = ConversationPage.from_json(read_json(body))
    except ValueError:
        return None
    return Page([by_model(row) for row in page.rows], page.row_count, page.total_count)


def by_model(row: Any) -> Row:
    times = [moment.timestamp() if moment else None for moment in (row.created_at, row.updated_at)]
    return Row(row.conversation_id, has_ended(row), *times)


def quickly(body: bytes) -> Page | None:
    try:
        return page_of(read_page(body))
    except ValueError:
        return None


@given(pages | odd)
@example({"data": [{"conversation_id": "c1", "status": "active"}, {"conversation_id": 7}, {}], "total_count": 3})
def test_a_page_is_what_the_models_make_of_it(page: Any) -> None:
    body = json.dumps(page).encode()

    assert quickly(body) == by_models(body)


@pytest.mark.parametrize(
    "odd",
    [b"NaN", b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"\\q"', b"1e400", b"9" * 5000, b"[" * 500 + b"]" * 500, b"1e2"],
    ids=["nan", "surrogate", "nul", "no utf-8", "no escape", "infinite", "long", "deep", "exponent"],
)
@pytest.mark.parametrize(
    "place",
    [
        b'"data": [{"conversation_id": %s}]',
        b'"data": [{"conversation_id": "c1", "status": %s}]',
        b'"data": [{"conversation_id": "c1", "updated_at": %s}]',
        b'"data": [{"conversation_id": "c1", "other": %s}]',
        b'"data": [{"conversation_id": "c1", "conversation_id": %s}]',
        b'"data": [%s]',
        b'"data": [], "total_count": %s',
        b'"data": [], "other": %s',
        b'"data": %s, "data": []',
    ],
)
def test_it_reads_what_the_models_can_read(place: bytes, odd: bytes) -> None:
    body = b"{" + place % odd + b"}"

    assert quickly(body) == by_models(body)


@given(odd=st.text(alphabet='{}[]":,\\u019eE.-+naltrufs \ud7ff').map(str.encode) | st.binary(max_size=8))
@pytest.mark.parametrize("around", [b'{"data": [{"conversation_id": "c1", "other": %s}]}', b'{"d\\u0061ta": [%s]}'])
def test_it_reads_nothing_else(around: bytes, odd: bytes) -> None:
    assert quickly(around % odd) == by_models(around % odd)


def test_the_request_is_for_one_page() -> None:
    call = look_at_page(3, limit=100)

    assert (str(call), call.query) == ("GET /v2/conversations", {"limit": "100", "page": "3"})
