"""JSON: that of an answer's body, read so that whatever comes can be stored anywhere afterwards, and our own."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

DIGITS_BEYOND_ALL_DOUBLES = 310
"""An integer of more than so many characters is larger than any double, or has zeros in front and is no JSON."""


def read_json(body: bytes) -> Any:
    r"""
    Return the value that a body holds.

    Bytes that are no UTF-8, lone surrogates and ``\u0000`` become U+FFFD; NaN, Infinity and what is as large become
    None. Python reads them all, and no database stores them afterwards.

    :raises ValueError: if it is no JSON, or nested deeper than anything that is meant to be read.
    """
    try:
        # Lone surrogates msgspec refuses itself. From its end, a body is searched in a third of the time.
        return _storable(_as_python_reads_it(body)) if body.rfind(b"\\u0000") >= 0 else _read(body)
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None


def _read(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # What is odd but can be read, and the exact fault of what cannot, is left to Python's own, slower reader.
        return _storable(_as_python_reads_it(body))


def _as_python_reads_it(body: bytes) -> Any:
    return json.loads(body.decode("utf-8", "replace"), parse_constant=lambda _: None, parse_int=_integer)


def _integer(digits: str) -> int | None:
    # Of some thousands of digits Python would refuse to make an integer at all, and the whole body would be lost.
    return int(digits) if len(digits) <= DIGITS_BEYOND_ALL_DOUBLES else None


def _storable(value: Any) -> Any:
    r"""Replace what JSON can spell and others cannot: lone surrogates, ``\u0000``, numbers beyond all doubles."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


to_json = msgspec.json.Encoder(order="deterministic").encode
"""JSON with sorted keys: the same value gives the same bytes, in whatever order Tavus sent it."""
