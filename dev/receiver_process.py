"""The receiver of callbacks as a process of its own, over a real Airflow database: what attacks in the tests go for.

    with ReceiverProcess(directory, tokens=["…"], connection={"conn_type": "tavus", …}) as receiver:
        receiver.post(receiver.tokens[0], b'{"conversation_id": "c1"}')
        assert receiver.wait_for(["c1"])

It is served as in Airflow's API server, by uvicorn, below the same path, but without the rest of Airflow around it, so
that its memory is its own. Whatever it connects to on its own account, it writes down.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_settings import own_environment
from component import Component
from ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

START = 180.0
"""Seconds that a start may take on a slow machine: Airflow's whole database is set up in it."""

ASSET = "tavus_conversations"


class ReceiverProcess:
    """A receiver, the asset whose state store it writes to, and a watcher of conversations that uses a connection."""

    def __init__(self, directory: Path, *, tokens: Sequence[str], connection: Mapping[str, str]) -> None:
        self.tokens = list(tokens)
        (self.port,) = free_ports(1)
        self.directory = directory
        self.database = directory / "airflow.db"
        self._connections = directory / "connections.txt"
        settings = {
            "AIRFLOW_CONN_TAVUS_DEFAULT": json.dumps(dict(connection)),
            "AIRFLOW_HOME": str(directory),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout=60",
            "AIRFLOW__TAVUS__CALLBACK_TOKENS": ",".join(tokens),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        self.process = Component(
            "receiver",
            [sys.executable, "-u", str(Path(__file__)), str(self.port), str(self._connections)],
            environment=own_environment() | settings,
            log=directory / "receiver.log",
        )

    def __enter__(self) -> ReceiverProcess:
        try:
            self.process.start()
            give_up = time.monotonic() + START
            while not self._listens():
                if self.process.has_ended_by_itself or time.monotonic() > give_up:
                    raise RuntimeError(f"The receiver does not start:\n{self.process.log_tail(40)}")
                time.sleep(0.1)
        except BaseException:
            self.process.stop(grace=3.0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.stop(grace=10.0)

    def _listens(self) -> bool:
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tavus"

    def path(self, token: str) -> str:
        return f"/tavus/callbacks/{token}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def request(self, token: str, *, length: int | None = None, method: str = "POST") -> bytes:
        """The head of a request for a callback, with or without what its body's length is said to be."""
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        return f"{method} {self.path(token)} HTTP/1.1\r\nHost: receiver\r\n{size}\r\n\r\n".encode()

    def post(self, token: str, body: bytes) -> int:
        """Send a callback, and return the status of the answer."""
        with closing(self.connect()) as connection:
            connection.sendall(self.request(token, length=len(body)) + body)
            return status_of(connection)

    def journal(self) -> dict[str, Any]:
        """What is written down of callbacks."""
        with closing(sqlite3.connect(self.database, timeout=60)) as database:
            rows = database.execute("SELECT key, value FROM asset_state_store").fetchall()
        store = {key: json.loads(value) for key, value in rows}
        recent = store.get("tavus/callbacks/recent", {"n": 0, "ids": []})
        assert store.get("tavus/callbacks/head", 0) == recent["n"]
        return dict(recent)

    def wait_for(self, ids: Iterable[str], *, seconds: float = 20.0) -> bool:
        """Say whether these ids are written down, now or in so many seconds."""
        wanted, give_up = set(ids), time.monotonic() + seconds
        while not wanted <= set(self.journal()["ids"]):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        return True

    def events(self) -> list[str]:
        """The conversations whose events are stored."""
        with closing(sqlite3.connect(self.database, timeout=60)) as database:
            rows = database.execute("SELECT extra FROM asset_event").fetchall()
        return [json.loads(extra)["payload"]["conversation_id"] for (extra,) in rows]

    def wait_for_event(self, conversation_id: str, *, seconds: float = 20.0) -> None:
        """Wait until the event of a conversation is stored, or for so many seconds."""
        give_up = time.monotonic() + seconds
        while conversation_id not in self.events() and time.monotonic() < give_up:
            time.sleep(0.05)

    def set_active(self, active: bool) -> None:
        """Let a DAG define the asset, or none any more."""
        with closing(sqlite3.connect(self.database, timeout=60)) as database, database:
            database.execute("DELETE FROM asset_active")
            if active:
                database.execute("INSERT INTO asset_active (name, uri) VALUES (?, ?)", (ASSET, ASSET))

    def memory(self) -> int:
        """The bytes of memory that it has at this moment."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    def connections(self) -> list[str]:
        """What it has connected to since it is set up."""
        return self._connections.read_text().splitlines()


def status_of(connection: socket.socket) -> int:
    """The status of the answer; 0 if the connection was closed without one."""
    try:
        line = connection.makefile("rb").readline()
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


def main(port: int, connections: Path) -> None:
    from airflow import settings
    from airflow.utils.db import initdb

    initdb()
    # What is imported before has its loggers switched off by that.
    import uvicorn
    from events_database import EventsDatabase
    from fastapi import FastAPI
    from starlette.routing import Mount

    from airflow_provider_tavus.plugins.tavus import TavusPlugin
    from airflow_provider_tavus.triggers.event import ConversationEventTrigger

    assert settings.Session is not None
    EventsDatabase(settings.Session, ASSET).watch(ConversationEventTrigger(), began=0.0)
    connections.touch()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.getaddrinfo", "subprocess.Popen"}:
            with connections.open("a") as file:
                file.write(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}\n")

    (plugin,) = TavusPlugin().fastapi_apps
    app = FastAPI(routes=[Mount(plugin["url_prefix"], plugin["app"])])
    app.router.lifespan_context = plugin["app"].router.lifespan_context
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False))
    sys.addaudithook(note)
    server.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
