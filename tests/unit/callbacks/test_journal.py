"""The journal held against a plain list of everything that ever came."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.callbacks.journal import MOST_IDS, append, length, since

ids = st.lists(st.text(min_size=1, max_size=3), max_size=40)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["n", "ids", "x"]), inner),
    max_leaves=8,
)


@given(st.lists(ids, max_size=10), st.data())
def test_whoever_remembers_how_many_there_were_gets_just_the_others(
    batches: list[list[str]], data: st.DataObject
) -> None:
    journal: object = None
    all_ids: list[str] = []
    positions = [0]
    for batch in batches:
        journal = json.loads(json.dumps(append(journal, batch)))
        all_ids += batch
        positions.append(length(journal))

    seen = data.draw(st.sampled_from(positions))
    assert length(journal) == len(all_ids)
    assert since(journal, seen) == (all_ids[seen:], False)


@given(st.integers(0, 3 * MOST_IDS), st.integers(0, 3 * MOST_IDS))
def test_only_the_last_are_kept_and_the_loss_of_others_is_told(first: int, later: int) -> None:
    journal = append(append(None, [f"a{number}" for number in range(first)]), [f"b{number}" for number in range(later)])

    got, some_were_lost = since(journal, first)

    assert len(journal["ids"]) <= MOST_IDS
    assert got == [f"b{number}" for number in range(later)][-MOST_IDS:]
    assert some_were_lost == (later > MOST_IDS)


@given(ids, st.integers(min_value=1))
def test_a_journal_that_was_begun_anew_is_read_from_its_beginning(batch: list[str], more: int) -> None:
    assert since(append(None, batch), len(batch) + more) == (batch, False)


@given(anything, ids, st.integers(min_value=0))
def test_whatever_is_stored_there_it_is_read_and_can_be_appended_to(stored: object, batch: list[str], n: int) -> None:
    got, _ = since(stored, n)
    assert all(isinstance(one, str) for one in got)
    journal = append(stored, batch)
    assert journal["ids"][len(journal["ids"]) - len(batch) :] == batch
    assert since(journal, length(stored)) == (batch, False)
