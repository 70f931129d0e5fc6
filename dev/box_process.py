"""The fake service as a process of its own, steered over HTTP: what a real Airflow talks to in the tests."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_settings import own_environment
from component import Component
from ports import free_ports

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

START = 30.0
"""Seconds that a start may take on a slow machine."""


class BoxProcess:
    """Tavus in a box, running beside Airflow.

    What `script`, `trouble` and the filters of requests may say is documented in
    `airflow_provider_tavus.testing`.
    """

    def __init__(self, log: Path, *, scene: str = "empty", speed: float = 1.0, api_key: str = "test-key") -> None:
        self.api_key = api_key
        # Chosen beforehand, so that an Airflow can be told of it before the scene begins.
        (port,) = free_ports(1)
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-u", "-m", "airflow_provider_tavus.testing"]
        command += ["--port", str(port), "--scene", scene, "--speed", str(speed), "--api-key", api_key]
        self.process = Component("fake service", command, environment=own_environment(), log=log)

    def __enter__(self) -> BoxProcess:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return once it listens."""
        self.process.log.unlink(missing_ok=True)
        self.process.start()
        give_up = time.monotonic() + START
        while self.address not in self.process.log_tail():
            if self.process.has_ended_by_itself or time.monotonic() > give_up:
                raise RuntimeError(f"The fake service does not start:\n{self.process.log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.stop(grace=3.0)

    @property
    def connection(self) -> dict[str, str]:
        """The connection that leads to it."""
        return {"conn_type": "tavus", "host": self.address, "password": self.api_key}

    def now(self) -> float:
        """The moment it is in the box, in epoch seconds."""
        return float(self.steer("GET", "")["now"])

    def add(self, script: str | dict[str, Any] = "finished", **conversation: Any) -> str:
        """Let a conversation exist, and return its id; its id, `created_at` and `name` may be given."""
        return str(self.steer("POST", "conversations", {"script": script, **conversation})["conversation_id"])

    def end(self, conversation_id: str) -> None:
        """End a conversation now."""
        self.steer("POST", f"conversations/{conversation_id}/end")

    def put_raw(self, conversation_id: str, body: Any) -> None:
        """Have it answer reads of a conversation with exactly this body."""
        self.steer("PUT", f"conversations/{conversation_id}/raw", body)

    def rows(self) -> list[dict[str, Any]]:
        """All conversations, as the list call gives them."""
        rows: list[dict[str, Any]] = []
        while page := self._page(len(rows) // 100 + 1):
            rows += page
            if len(page) < 100:
                break
        return rows

    def _page(self, number: int) -> list[dict[str, Any]]:
        address = f"{self.address}/v2/conversations?limit=100&page={number}"
        request = urllib.request.Request(address, headers={"x-api-key": self.api_key})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return list(json.load(answer)["data"])

    def requests(self, **which: Any) -> list[dict[str, Any]]:
        """The requests that came, oldest first; those of a `conversation_id`, `route`, `status`, `since` …"""
        found = self.steer("GET", f"requests?{urlencode(which)}")
        return list(found["requests"])

    def wait_for_requests(self, count: int, *, timeout: float = 180.0, **which: Any) -> None:
        """Wait until so many requests have come; TimeoutError if they do not."""
        give_up = time.monotonic() + timeout
        while len(self.requests(**which)) < count:
            if time.monotonic() > give_up:
                raise TimeoutError(f"Waited {timeout:.0f} s for {count} requests, {len(self.requests(**which))} came.")
            time.sleep(0.2)

    def forget_requests(self) -> None:
        self.steer("DELETE", "requests")

    def trouble(self, kind: str, **details: Any) -> str:
        """Begin a trouble, and return the id by which it is stopped."""
        return str(self.steer("POST", "troubles", {"kind": kind, **details})["trouble_id"])

    def stop_trouble(self, trouble_id: str) -> None:
        self.steer("DELETE", f"troubles/{trouble_id}")

    def stop_troubles(self) -> None:
        self.steer("DELETE", "troubles")

    def steer(self, method: str, path: str, body: Any = None) -> Any:
        """Call its own interface under `/_box/`."""
        request = urllib.request.Request(f"{self.address}/_box/{path}", method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            refusal.add_note(refusal.read(2000).decode(errors="replace"))
            raise
        return json.loads(text) if text else None
