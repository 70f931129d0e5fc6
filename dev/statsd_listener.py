"""A StatsD server that only listens."""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class StatsdListener:
    """Takes the metrics that come to a UDP port of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.5)
        self._heard: list[str] = []
        self._closing = False
        self._listening = threading.Thread(target=self._listen, daemon=True)

    @property
    def airflow_settings(self) -> dict[str, str]:
        """What lets an Airflow send its metrics here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
        }

    def wait_for(self, pattern: str, timeout: float = 120.0) -> re.Match[str]:
        """Return the first metric of ours that matches; TimeoutError if none comes."""
        give_up = time.monotonic() + timeout
        while True:
            for metric in list(self._heard):
                if match := re.fullmatch(pattern, metric):
                    return match
            if time.monotonic() > give_up:
                raise TimeoutError(f"No metric {pattern} came, but {sorted(set(self._heard))}.")
            time.sleep(0.1)

    def __enter__(self) -> StatsdListener:
        self._listening.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._listening.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._closing:
            try:
                datagram = self._socket.recv(65536)
            except TimeoutError:
                continue
            # Airflow sends very many of its own.
            self._heard += [metric for metric in datagram.decode().splitlines() if ".tavus." in metric]
