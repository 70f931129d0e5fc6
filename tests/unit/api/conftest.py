"""Both clients behind one face, so that every test of one is a test of the other."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import trustme

from airflow_provider_tavus.api.async_client import AsyncTavusClient
from airflow_provider_tavus.api.client import TavusClient
from airflow_provider_tavus.api.settings import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

    from airflow_provider_tavus.api.calls import Call
    from airflow_provider_tavus.testing import TavusBox


class Send(Protocol):
    def __call__(self, *calls: Call[Any], repeat: bool = True, **settings: Any) -> Any: ...


@pytest.fixture(params=["sync", "async"])
def send(request: pytest.FixtureRequest, box: TavusBox) -> Send:
    """Send calls to the box over one client, and return the last one's result; keywords change the settings."""

    def settings_for(changes: dict[str, Any]) -> ClientSettings:
        return ClientSettings(**{"api_key": box.api_key, "base_url": box.base_url} | changes)

    def send_sync(*calls: Call[Any], repeat: bool = True, **changes: Any) -> Any:
        with TavusClient(settings_for(changes)) as client:
            return [client.send(call, repeat=repeat) for call in calls][-1]

    def send_async(*calls: Call[Any], repeat: bool = True, **changes: Any) -> Any:
        async def send_all() -> Any:
            async with AsyncTavusClient(settings_for(changes)) as client:
                return [await client.send(call, repeat=repeat) for call in calls][-1]

        return asyncio.run(send_all())

    return send_sync if request.param == "sync" else send_async


@dataclass
class FixedServer:
    """A server that gives every request the same conversation, and counts connections, which the box does not."""

    address: str = ""
    ca_bundle: str | None = None
    body: dict[str, Any] = field(default_factory=lambda: {"conversation_id": "c1", "status": "ended"})
    compressed: bool = False
    connections: int = 0
    targets: list[str] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)


@pytest.fixture
def plain_server() -> Iterator[FixedServer]:
    yield from serve(FixedServer())


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[FixedServer]:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    yield from serve(FixedServer(ca_bundle=str(bundle)), context)


def serve(fixed: FixedServer, context: ssl.SSLContext | None = None) -> Iterator[FixedServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            fixed.connections += 1
            super().setup()

        def do_GET(self) -> None:
            fixed.targets.append(self.path)
            fixed.headers.append(self.headers)
            body = json.dumps(fixed.body).encode()
            self.send_response(200)
            if fixed.compressed:
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 1000):
                chunk = body[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Keep quiet about clients that do not trust us."""

    server = Server(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    fixed.address = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield fixed
    server.shutdown()
    server.server_close()
