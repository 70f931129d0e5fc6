from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.json_text import read_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.booleans())
def test_it_reads_what_python_reads(value: Any, ensure_ascii: bool) -> None:
    sent = json.dumps(value, ensure_ascii=ensure_ascii)
    if "\\u0000" not in sent:
        assert read_json(sent.encode()) == value


@given(st.binary() | st.text(alphabet='{}[]":,\\u019eE.-naNItrflsxdD \ud7ff\ue000').map(str.encode))
def test_whatever_it_reads_can_be_stored(body: bytes) -> None:
    with suppress(ValueError):
        json.dumps(read_json(body), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("body", [b"1e400", b"[-1e400, 1]", b"NaN", b'{"a": Infinity}', b"-" + b"9" * 5000])
def test_a_number_beyond_all_doubles_is_null(body: bytes) -> None:
    json.dumps(read_json(body), allow_nan=False)


@pytest.mark.parametrize("plain", [b"", b"\\u0000"], ids=["fast", "slow"])
def test_what_is_nested_too_deeply_is_no_json_of_ours(plain: bytes) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(b"[" * 100_000 + b'"' + plain + b'"' + b"]" * 100_000)
