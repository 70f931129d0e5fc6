"""The receiver, over real sockets and a real Airflow database, in good times and under attack."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from receiver_process import status_of

from airflow_provider_tavus.plugins.at_once import MOST_UNKNOWN, REST

if TYPE_CHECKING:
    from io import BufferedReader

    from receiver_process import ReceiverProcess

    from airflow_provider_tavus.testing import TavusBox

MiB = 1024 * 1024
MAY_GROW_BY = 48 * MiB
"""Bytes: the 16 MiB of bodies that are read together, as Python and its allocator hold them."""


def callback(conversation_id: str, event_type: str = "application.transcription_ready") -> bytes:
    return json.dumps({"conversation_id": conversation_id, "event_type": event_type, "properties": {}}).encode()


class Memory:
    """How much memory a receiver has taken at most, since this began."""

    def __init__(self, receiver: ReceiverProcess) -> None:
        self._receiver = receiver
        self._before = receiver.memory()
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, self._receiver.memory() - self._before)


def test_a_callback_is_answered_at_once_and_written_down(receiver: ReceiverProcess) -> None:
    before = receiver.journal()["n"]
    began = time.monotonic()
    assert receiver.post(receiver.tokens[0], callback("c-one")) == 200
    assert time.monotonic() - began < 5
    assert receiver.wait_for(["c-one"])
    assert receiver.journal()["n"] == before + 1


def test_the_event_of_a_conversation_that_is_ready_is_stored_once(
    receiver: ReceiverProcess, watched_tavus: TavusBox
) -> None:
    for _ in range(3):
        assert receiver.post(receiver.tokens[0], callback("c-ready")) == 200
    assert receiver.wait_for(["c-ready"])
    assert receiver.events() == ["c-ready"]
    assert watched_tavus.count(conversation_id="c-ready") == 1


def test_the_old_token_counts_as_long_as_it_is_configured(receiver: ReceiverProcess) -> None:
    assert [receiver.post(token, callback(f"c-of-{place}")) for place, token in enumerate(receiver.tokens)] == [200] * 2
    assert receiver.wait_for(["c-of-0", "c-of-1"])


@pytest.mark.parametrize("length", [0, 1, 34, 36, 5000])
def test_whatever_the_wrong_token_is_there_is_no_such_path(length: int, receiver: ReceiverProcess) -> None:
    before = receiver.journal()["n"]
    token = ("first-canary" + "x" * length)[:length]
    assert receiver.post(token, callback("c-wrong")) == 404
    assert receiver.post(f"{receiver.tokens[0]}/", callback("c-wrong")) == 404
    assert receiver.post("%C3%A9%FF", callback("c-wrong")) == 404
    time.sleep(0.3)
    assert receiver.journal()["n"] == before


def test_nothing_but_a_callback_is_answered(receiver: ReceiverProcess) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for token in (receiver.tokens[0], "wrong"):
            with closing(receiver.connect()) as connection:
                connection.sendall(receiver.request(token, length=0, method=method))
                assert status_of(connection) == 405
    for path in ("../docs", "../openapi.json", "../redoc"):
        assert receiver.post(path, b"") == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"conversation_id": 5}', b"[" * 100_000])
def test_what_is_no_callback_is_refused(body: bytes, receiver: ReceiverProcess) -> None:
    before = receiver.journal()["n"]
    assert receiver.post(receiver.tokens[0], body) == 400
    assert receiver.journal()["n"] == before


def test_replays_are_written_down_without_end_and_take_no_room(receiver: ReceiverProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: receiver.post(receiver.tokens[0], callback("c-replay")), range(400)))
    assert statuses == [200] * 400
    assert receiver.wait_for(["c-replay"])
    assert len(receiver.journal()["ids"]) <= 1000


def test_a_body_of_a_hundred_megabytes_is_refused_before_it_is_read(receiver: ReceiverProcess) -> None:
    memory = Memory(receiver)
    for token, status in ((receiver.tokens[0], 413), ("wrong", 404)):
        with closing(receiver.connect()) as connection:
            connection.sendall(receiver.request(token, length=100 * MiB))
            assert status_of(connection) == status
    memory.look()
    assert memory.most < MAY_GROW_BY


@pytest.mark.parametrize(("which", "statuses"), [("right", {0, 413}), ("wrong", {0, 404})])
def test_ten_bodies_of_a_hundred_megabytes_that_do_not_say_so_take_no_memory(
    which: str, statuses: set[int], receiver: ReceiverProcess
) -> None:
    memory = Memory(receiver)
    token = receiver.tokens[0] if which == "right" else "wrong"
    chunk = f"{MiB:x}\r\n".encode() + b"x" * MiB + b"\r\n"

    def send_all() -> tuple[int, int]:
        """Send on whatever the answer is; return the status and how many bytes were taken."""
        with closing(receiver.connect()) as connection:
            connection.sendall(receiver.request(token))
            taken = 0
            with contextlib.suppress(OSError):
                for _ in range(100):
                    connection.sendall(chunk)
                    taken += len(chunk)
                    memory.look()
            return status_of(connection), taken

    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(lambda _: send_all(), range(10)))
    assert {status for status, _ in outcomes} <= statuses
    # What the kernels on both sides keep of it.
    assert max(taken for _, taken in outcomes) < 20 * MiB
    assert memory.most < MAY_GROW_BY


@pytest.mark.long
def test_ten_thousand_conversations_leave_the_last_thousand_and_few_are_asked_for(
    receiver: ReceiverProcess, watched_tavus: TavusBox
) -> None:
    memory, before = Memory(receiver), receiver.journal()["n"]
    began, asked_before = time.monotonic(), watched_tavus.count()
    ids = [f"c{number:05}" for number in range(10_000)]

    def send(part: list[str]) -> set[int]:
        """Over one connection, as a sender that keeps it open does."""
        answers = set()
        with closing(receiver.connect()) as connection, connection.makefile("rb") as answer:
            for one in part:
                body = callback(one)
                connection.sendall(receiver.request(receiver.tokens[0], length=len(body)) + body)
                answers.add(_read_answer(answer))
        memory.look()
        return answers

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(send, [ids[start::4] for start in range(4)])) == {200}
    assert receiver.wait_for([ids[-1]])
    journal = receiver.journal()
    assert len(journal["ids"]) == 1000
    assert 1000 <= journal["n"] - before <= 10_000
    assert watched_tavus.count() - asked_before <= MOST_UNKNOWN * (1 + (time.monotonic() - began) / REST)
    assert memory.most < MAY_GROW_BY


def _read_answer(answer: BufferedReader) -> int:
    lines = []
    while (line := answer.readline()) not in {b"\r\n", b""}:
        lines.append(line)
    length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length"))
    answer.read(length)
    return int(lines[0].split()[1])


def test_slow_clients_hold_up_nobody_and_are_given_up(receiver: ReceiverProcess) -> None:
    memory = Memory(receiver)
    with ExitStack() as stack:
        slow = []
        for _ in range(200):
            connection = stack.enter_context(closing(receiver.connect()))
            connection.sendall(receiver.request(receiver.tokens[0], length=1000) + b"{")
            slow.append(connection)
        began = time.monotonic()
        for number in range(20):
            assert receiver.post(receiver.tokens[0], callback(f"c-quick-{number}")) == 200
            for connection in slow[number::20]:
                connection.sendall(b" ")
        assert time.monotonic() - began < 8
        memory.look()
        assert {status_of(connection) for connection in slow} == {408}
    assert memory.most < MAY_GROW_BY


def test_more_slow_clients_than_it_reads_at_a_time_are_sent_away_and_it_recovers(receiver: ReceiverProcess) -> None:
    with ExitStack() as stack:
        slow = []
        for _ in range(300):
            connection = stack.enter_context(closing(receiver.connect()))
            connection.sendall(receiver.request(receiver.tokens[0], length=1000))
            slow.append(connection)
        statuses = [status_of(connection) for connection in slow]
    assert statuses.count(408) == 256
    assert statuses.count(503) == 44


def test_a_client_that_hangs_up_leaves_no_trace(receiver: ReceiverProcess) -> None:
    for _ in range(50):
        with closing(receiver.connect()) as connection:
            connection.sendall(receiver.request(receiver.tokens[0], length=1000) + b"{")
    assert receiver.post(receiver.tokens[0], callback("c-after")) == 200
    assert "Traceback" not in receiver.log()


def test_without_the_asset_callbacks_are_dropped_and_come_again_with_it(receiver: ReceiverProcess) -> None:
    receiver.set_active(False)
    assert receiver.post(receiver.tokens[0], callback("c-dropped")) == 200
    time.sleep(0.5)
    receiver.set_active(True)
    assert receiver.post(receiver.tokens[0], callback("c-kept")) == 200
    assert receiver.wait_for(["c-kept"])
    assert "c-dropped" not in receiver.journal()["ids"]
    assert receiver.log().count("there is no active asset named 'tavus_conversations'") == 1


SEVERAL_WRITERS = """
from concurrent.futures import ThreadPoolExecutor
from airflow_provider_tavus.callbacks.journal_rows import append_to_journal

def write(writer):
    return [append_to_journal("tavus_conversations", [f"c-{writer}-{number}"]) for number in range(25)]

with ThreadPoolExecutor(4) as pool:
    assert all(map(all, pool.map(write, range(4))))
"""


def test_api_servers_that_write_at_the_same_time_lose_nothing_of_each_other(receiver: ReceiverProcess) -> None:
    before = receiver.journal()["n"]
    other = subprocess.Popen([sys.executable, "-c", SEVERAL_WRITERS], env=receiver.process.environment)
    sent = 0
    while other.poll() is None:
        assert receiver.post(receiver.tokens[0], callback(f"c-meanwhile-{sent}")) == 200
        sent += 1
        time.sleep(0.02)
    assert other.returncode == 0
    assert receiver.wait_for([f"c-meanwhile-{sent - 1}"])
    journal = receiver.journal()
    assert journal["n"] - before == sent + 100
    assert {f"c-{writer}-{number}" for writer in range(4) for number in range(25)} <= set(journal["ids"])
