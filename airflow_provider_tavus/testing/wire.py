"""How an answer goes out, if it does: whole, late, drop by drop, in part, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.testing.answers import Answer
    from airflow_provider_tavus.testing.troubles import Trouble

DROPS = 20
"""How many pieces a dripping answer comes in, at most."""


async def send(request: web.BaseRequest, answer: Answer, trouble: Trouble | None) -> web.StreamResponse:
    """Send an answer, and do to it what the trouble, if there is one, does on the wire."""
    if trouble is None or trouble.kind not in {"cut", "drip"}:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    if trouble.kind == "cut":
        response.force_close()
        await response.write(answer.body[: len(answer.body) // 2])
    else:
        for drop in _drops(answer.body):
            await response.write(drop)
            await asyncio.sleep(trouble.seconds / DROPS)
    return response


async def never_answer(request: web.BaseRequest, closing: asyncio.Event) -> None:
    """Keep the connection open and silent until the client goes away or the box closes."""
    await closing.wait()


def reset(request: web.BaseRequest) -> None:
    """Reset the connection, so that the client sees an error rather than an end."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        # Lingering for zero seconds makes the kernel send RST where a close would send FIN.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _drops(body: bytes) -> Sequence[bytes]:
    size = max(1, -(-len(body) // DROPS))
    return [body[start : start + size] for start in range(0, len(body), size)]
