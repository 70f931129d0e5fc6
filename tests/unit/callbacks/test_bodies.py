"""What is taken out of a callback's body, and what a body may cost."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.callbacks import bodies
from airflow_provider_tavus.callbacks.bodies import Bodies, RefusedError, conversation_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_the_id_of_a_callback_with_a_long_transcript_is_found() -> None:
    turns = [{"role": "user", "content": "Good morning. " * 10, "inference_id": None}] * 10_000
    callback = {
        "properties": {"replica_id": "r1", "transcript": turns},
        "conversation_id": "c0123456789abcdef",
        "event_type": "application.transcription_ready",
    }
    body = json.dumps(callback).encode()
    assert len(body) > bodies.LARGEST_ODD_BODY
    assert conversation_id_of(body) == "c0123456789abcdef"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(rb'{"conversation_id": "c1", "x": "\ud800"}', id="a lone surrogate"),
        pytest.param(b'{"conversation_id": "c1", "x": NaN}', id="NaN"),
        pytest.param(b'{"conversation_id": "c1", "x": "\xff"}', id="no UTF-8"),
        pytest.param(b'{"conversation_id": "c0", "conversation_id": "c1"}', id="twice"),
    ],
)
def test_what_is_odd_is_read_all_the_same(body: bytes) -> None:
    assert conversation_id_of(body) == "c1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"c1"',
        b"conversation_id=c1",
        b"{}",
        b'{"conversation_id": null}',
        b'{"conversation_id": 1}',
        b'{"conversation_id": ["c1"]}',
        b'{"conversation_id": ""}',
        b'{"conversation_id": "None"}',
        b'{"conversation_id": ".."}',
        b'{"conversation_id": "c 1"}',
        b'{"conversation_id": "../../etc/passwd"}',
        b'{"conversation_id": "%2e%2e"}',
        b'{"conversation_id": "<script>"}',
        b'{"conversation_id": "c1?x=1"}',
        rb'{"conversation_id": "c\u0000"}',
        rb'{"conversation_id": "\ud800"}',
        b'{"conversation_id": "' + b"c" * 129 + b'"}',
        b'{"conversation_id": "c1"} {}',
        b'{"conversation_id": "c1", "x": ' + b"[" * 30_000,
        b'{"x": ' * 500_000,
        b"[" * 2_000_000,
    ],
    ids=lambda body: repr(body[:36]),
)
def test_what_has_no_id_that_could_be_one_is_refused(body: bytes) -> None:
    assert conversation_id_of(body) is None


json_values = st.recursive(
    st.none() | st.text() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.just("conversation_id") | st.text(), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_nothing_that_can_be_sent_breaks_the_reading(body: bytes) -> None:
    conversation_id = conversation_id_of(body)
    assert conversation_id is None or 1 <= len(conversation_id) <= 128


def test_of_a_large_body_that_would_grow_when_read_nothing_is_built() -> None:
    # As Python's objects these would take more than a hundred million bytes.
    body = b'{"x": [' + b"{}," * 600_000 + b'{}], "conversation_id": "c1"}'
    tracemalloc.start()
    try:
        assert conversation_id_of(body) == "c1"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


async def chunks(count: int, size: int = 65_536, pause: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(pause)
        yield b"x" * size


async def test_a_body_is_read_up_to_its_limit_and_no_further() -> None:
    whole = bodies.LARGEST_BODY // 65_536
    assert len(await Bodies().read(chunks(whole), None)) == bodies.LARGEST_BODY

    endless = chunks(10**9)
    with pytest.raises(RefusedError, match="too large") as refused:
        await Bodies().read(endless, None)
    assert refused.value.status == 413


@pytest.mark.parametrize("declared", ["2097153", "9" * 400])
async def test_a_body_that_says_it_is_too_large_is_not_read_at_all(declared: str) -> None:
    async def untouched() -> AsyncIterator[bytes]:
        raise AssertionError("It is read.")
        yield b""

    with pytest.raises(RefusedError, match="too large"):
        await Bodies().read(untouched(), declared)


@pytest.mark.parametrize("declared", ["", "x", "-5", "\uff11\uff12", "0"])
async def test_a_length_that_is_none_counts_for_nothing(declared: str) -> None:
    assert await Bodies().read(chunks(1, 5), declared) == b"xxxxx"


async def test_a_body_has_so_many_seconds_in_all() -> None:
    with pytest.raises(RefusedError, match="in time") as refused:
        await Bodies(longest_read=0.2).read(chunks(10**6, size=1, pause=0.01), None)
    assert refused.value.status == 408


async def test_bodies_that_are_read_together_have_one_limit_and_give_it_back() -> None:
    reading, most = Bodies(), bodies.IN_FLIGHT // bodies.EACH_AT_LEAST
    slow = [asyncio.create_task(reading.read(chunks(1, 10, pause=0.3), None)) for _ in range(most)]
    await asyncio.sleep(0)

    with pytest.raises(RefusedError, match="at once") as refused:
        await reading.read(chunks(1), None)
    assert refused.value.status == 503

    assert [len(body) for body in await asyncio.gather(*slow)] == [10] * most
    assert len(await reading.read(chunks(2), None)) == 2 * 65_536


async def test_a_body_that_grows_beyond_what_is_left_is_refused_and_gives_back_what_it_had() -> None:
    reading = Bodies()
    large = bodies.LARGEST_BODY // 65_536
    outcomes = await asyncio.gather(
        *(reading.read(chunks(large, pause=0.001), None) for _ in range(20)), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, RefusedError)]
    assert {one.status for one in refused} == {503}
    assert reading._in_flight == 0
