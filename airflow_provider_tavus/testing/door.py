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

    :param server: what serves the connections.
    """

    def __init__(self, server: web.Server, host: str, port: int) -> None:
        self._server = server
        self._address = (host, port)
        self._listening: asyncio.Server | None = None
        self._socket = self._bound_socket()

    @property
    def port(self) -> int:
        """The port, also while connections are refused."""
        return int(self._socket.getsockname()[1])

    async def open(self) -> None:
        """Let connections in."""
        # From here on the kernel accepts; a client need not wait for the loop to be ready.
        self._socket.listen(BACKLOG)
        self._listening = await asyncio.get_running_loop().create_server(self._server, sock=self._socket)

    def refuse(self) -> None:
        """Have connections refused, and close those that there are, as a server does that goes down."""
        self._address = (self._address[0], self.port)
        self.close()
        # Bound but not listening, the port stays ours while the kernel refuses whoever knocks.
        self._socket = self._bound_socket()
        # A moment later, so that a request that asks for this over HTTP gets its answer.
        asyncio.get_running_loop().call_soon(self._close_connections)

    def _close_connections(self) -> None:
        for connection in self._server.connections:
            connection.force_close()

    def close(self) -> None:
        """Let go of the port."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._socket.close()

    def _bound_socket(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind(self._address)
        return bound
