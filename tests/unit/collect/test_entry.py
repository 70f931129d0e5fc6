"""How the ledger spells times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.collect.entry import TIMES, Entry, as_epoch, as_time
from airflow_provider_tavus.conversations.times import iso


@pytest.mark.parametrize(
    ("epoch_seconds", "spelt"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1790000000.125, "2026-09-21T14:13:20.125000Z"),
        (-62135596800, "0001-01-01T00:00:00Z"),
        (1e300, "9999-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_iso_8601_in_utc(epoch_seconds: float, spelt: str) -> None:
    assert as_time(epoch_seconds) == spelt


@given(st.datetimes(max_value=datetime(9999, 12, 31, 23, 59, 59), timezones=st.just(UTC)).map(datetime.timestamp))
def test_a_time_is_spelt_as_everywhere_else_and_can_be_read(epoch_seconds: float) -> None:
    moment = datetime.fromtimestamp(epoch_seconds, UTC)

    assert as_time(epoch_seconds) == iso(moment) == moment.isoformat().replace("+00:00", "Z")
    assert as_epoch(as_time(epoch_seconds)) == moment.timestamp()


@pytest.mark.parametrize("moment", [0.0, -62135596800.0, 1790000000.125])
def test_an_entry_that_was_written_and_read_is_the_same_whatever_its_times(moment: float) -> None:
    entry = Entry(conversation_id="c1", state="collected", **dict.fromkeys(TIMES, moment))  # type: ignore[arg-type]

    assert Entry.from_json(entry.as_json()) == entry
