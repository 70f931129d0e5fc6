"""What the receiver says about itself, held against what it does, and bytes of every kind: it never breaks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

pytest.importorskip("schemathesis", reason="schemathesis is not installed beside this Airflow")
pytest.importorskip("airflow.state", reason="callbacks are received from Airflow 3.3 on")

import schemathesis
from receiver_process import status_of
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from airflow_provider_tavus.callbacks.receiver import make_receiver
from airflow_provider_tavus.callbacks.settings import CallbackSettings

if TYPE_CHECKING:
    from receiver_process import ReceiverProcess

TOKEN = "any-token-0123456789abcdefghijklmnop"
RECEIVE = "/callbacks/{token}"
schema = schemathesis.openapi.from_dict(make_receiver(CallbackSettings(tokens=(TOKEN,))).openapi())
some = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schema.include(path=RECEIVE, method="POST").parametrize()
@some
def test_whatever_is_sent_to_it_it_answers_as_its_document_says(
    case: schemathesis.Case[Any], receiver: ReceiverProcess
) -> None:
    checks: list[Any] = [not_a_server_error, status_code_conformance, response_schema_conformance]
    for token in (case.path_parameters["token"], receiver.tokens[0]):
        case.path_parameters["token"] = token
        case.call_and_validate(base_url=receiver.base_url, checks=checks)


def raw(head: bytes, body: bytes, receiver: ReceiverProcess) -> int:
    with closing(receiver.connect()) as connection:
        connection.settimeout(15)
        connection.sendall(head + body)
        # Nothing more comes: what is cut off is not waited for.
        connection.shutdown(1)
        return status_of(connection)


@some
@example(body=b'{"conversation_id": "c' + b"\\ud800" * 9 + b'"}')
@example(body=b"[" * 200_000)
@example(body=b'{"a":' * 50_000)
@example(body=b'{"conversation_id": ' + b"9" * 10_000 + b"}")
@example(body=b"\x00" * 1000)
@given(body=st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: text.encode()))
def test_no_body_breaks_it(receiver: ReceiverProcess, body: bytes) -> None:
    assert receiver.post(receiver.tokens[0], body) in {200, 400}


@some
@example(head=b"Content-Length: 5\r\nContent-Length: 7\r\n", body=b"12345")
@example(head=b"Content-Length: -1\r\n", body=b"")
@example(head=b"Content-Length: 99999999999999999999999999\r\n", body=b"")
@example(head=b"Transfer-Encoding: chunked\r\n", body=b"FFFFFFFFFFFFFFFFF\r\nx")
@example(head=b"Transfer-Encoding: chunked\r\n", body=b"5\r\n12")
@example(head=b"Expect: 100-continue\r\nContent-Length: 3\r\n", body=b"")
@example(head=b"Content-Encoding: gzip\r\nContent-Length: 3\r\n", body=b"\x1f\x8b\x08")
@given(
    head=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b" ") + b"\r\n"), max_size=5).map(
        b"".join
    ),
    body=st.binary(max_size=200),
)
def test_no_head_breaks_it(receiver: ReceiverProcess, head: bytes, body: bytes) -> None:
    first = f"POST {receiver.path(receiver.tokens[0])} HTTP/1.1\r\nHost: receiver\r\n".encode()
    assert raw(first + head + b"\r\n", body, receiver) < 500
    assert "Traceback" not in receiver.log()


@some
@given(path=st.text(st.characters(codec="latin-1", exclude_characters=" \r\n?#"), max_size=60))
def test_no_path_breaks_it(receiver: ReceiverProcess, path: str) -> None:
    for prefix in ("/tavus/callbacks/", "/tavus/"):
        head = f"POST {prefix}{path} HTTP/1.1\r\nHost: receiver\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
        assert raw(head, b"", receiver) in {0, 400, 404, 405}
