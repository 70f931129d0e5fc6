"""The bodies of callbacks: read within limits of size, time and memory, and what is taken out of them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.api.ids import checked_conversation_id
from airflow_provider_tavus.api.json_text import read_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes. A callback with a transcript carries the whole of it."""

LONGEST_READ = 10.0
"""Seconds for a whole body."""

IN_FLIGHT = 16 * 1024 * 1024
"""Bytes of all bodies together that are being read at a moment."""

EACH_AT_LEAST = 64 * 1024
"""Bytes that a body counts as while it is being read, however little of it has come."""

COULD_BE_AN_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
"""
Tavus' ids have a fifth of the length. They go into a request and the log: nobody is to write there what a firewall
takes for an attack of ours.
"""

LARGEST_ODD_BODY = 64 * 1024
"""Bytes of a body that is read although only Python's own, slower reader can make anything of it."""


class RefusedError(Exception):
    """A body that is not to be had, or not to be read any further."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Bodies:
    """
    Reads bodies, few at a time: beyond a limit on all that are being read together, the next is refused.

    :param longest_read: seconds for a whole body.
    """

    def __init__(self, longest_read: float = LONGEST_READ) -> None:
        self._longest_read = longest_read
        self._in_flight = 0

    async def read(self, chunks: AsyncIterable[bytes], declared_length: str | None) -> bytes:
        """
        Return a whole body.

        :param declared_length: what its header says.
        :raises RefusedError: if it is too large, too slow, or one too many.
        """
        if declared_length and declared_length.isdecimal() and int(declared_length[:20]) > LARGEST_BODY:
            raise RefusedError(413, "The body is too large.")
        reserved = self._reserve(EACH_AT_LEAST)
        body = bytearray()
        try:
            async with asyncio.timeout(self._longest_read):
                async for chunk in chunks:
                    if len(body) + len(chunk) > LARGEST_BODY:
                        raise RefusedError(413, "The body is too large.")
                    body += chunk
                    if len(body) > reserved:
                        reserved += self._reserve(len(body) - reserved)
        except TimeoutError:
            raise RefusedError(408, "The body did not come in time.") from None
        finally:
            self._in_flight -= reserved
        return bytes(body)

    def _reserve(self, size: int) -> int:
        if self._in_flight + size > IN_FLIGHT:
            raise RefusedError(503, "Too many callbacks at once.")
        self._in_flight += size
        return size


class _Callback(msgspec.Struct):
    conversation_id: str


_decode = msgspec.json.Decoder(_Callback).decode


def conversation_id_of(body: bytes) -> str | None:
    """
    Return the id of the conversation that a callback is about, or None if it has none that could be one.

    Nothing else of the body is kept, and of a large one nothing else is even built.
    """
    try:
        conversation_id = checked_conversation_id(_read(body))
    except (InvalidArgumentError, ValueError, RecursionError):
        return None
    return conversation_id if COULD_BE_AN_ID.fullmatch(conversation_id) else None


def _read(body: bytes) -> object:
    try:
        return _decode(body).conversation_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        if len(body) > LARGEST_ODD_BODY:
            raise ValueError("This is no JSON, or odd and large.") from None
        callback = read_json(body)
        return callback.get("conversation_id") if isinstance(callback, dict) else None
