"""The socket that the box listens on, which can be shut and opened again without losing its port."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

BACKLOG = 512


class Door:
    """
    Lets connections in, or has them refused.

    It accepts by itself: asyncio's own server cannot be closed and opened at once, and when it is closed it loses
    the connections that it has accepted but not yet served.

    :param server: what serves the connections.
    """

    def __init__(self, server: web.Server, host: str, port: int) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._socket = _bound_socket(host, port)

    @property
    def port(self) -> int:
        """The port, also while connections are refused."""
        return int(self._socket.getsockname()[1])

    def open(self) -> None:
        """Let connections in, unless it is open already."""
        if not self._is_open:
            self._is_open = True
            self._socket.listen(BACKLOG)
            self._loop.add_reader(self._socket, self._accept)

    def refuse(self) -> None:
        """Have connections refused, and close those that there are, as a server does that goes down."""
        host, port = self._socket.getsockname()[:2]
        self.close()
        # Bound but not listening, the port stays ours while the kernel refuses whoever knocks.
        self._socket = _bound_socket(host, port)
        # A moment later, so that a request that asks for this over HTTP gets its answer.
        self._loop.call_soon(self._close_connections)

    def close(self) -> None:
        """Let go of the port."""
        self._is_open = False
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            entering = self._loop.create_task(self._enter(connection))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        transport, _ = await self._loop.connect_accepted_socket(self._server, connection)
        if not self._is_open:
            transport.close()

    def _close_connections(self) -> None:
        for connection in self._server.connections:
            connection.force_close()


def _bound_socket(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
