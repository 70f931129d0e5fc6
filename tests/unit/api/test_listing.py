from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from airflow_provider_tavus.api.errors import UnreadableAnswerError
from airflow_provider_tavus.api.listing import MOST_SWEEPS, every_conversation
from airflow_provider_tavus.api.models import ConversationPage


def page(ids: list[str], total_count: int | None) -> ConversationPage:
    return ConversationPage.from_json({"data": [{"conversation_id": one} for one in ids], "total_count": total_count})


def read(*pages: ConversationPage) -> tuple[list[str], int]:
    """The ids found in answers that come in this order, and how many were asked for."""
    asked = count()
    found = every_conversation(lambda call: pages[next(asked)])
    return [one.conversation_id for one in found], next(asked)


def test_one_page_that_holds_everything_is_read_once() -> None:
    assert read(page(["a", "b"], 2)) == (["a", "b"], 1)
    assert read(page([], 0)) == ([], 1)


def test_what_slipped_over_the_edge_of_a_page_is_found_by_reading_again() -> None:
    # "c" moves to the first page when "a" is deleted, after that page was read.
    first = (page(["a", "b"], 4), page(["d"], 3))
    again = (page(["b", "c"], 3), page(["d"], 3))
    assert read(*first, *again, *again) == (["a", "b", "d", "c"], 6)


def test_without_a_total_an_empty_page_is_the_end() -> None:
    sweep = (page(["a", "b"], None), page(["c"], None), page([], None))
    assert read(*sweep, *sweep) == (["a", "b", "c"], 6)


def test_rows_that_name_no_conversation_do_not_keep_it_from_ending() -> None:
    odd: Any = {"data": [{"conversation_id": "a"}, {}], "total_count": 2}
    sweep = (ConversationPage.from_json(odd), page([], 2))
    assert read(*sweep, *sweep) == (["a"], 4)


def test_a_list_that_never_comes_to_rest_is_an_error() -> None:
    numbers = count()
    with pytest.raises(UnreadableAnswerError, match="faster than it can be read"):
        list(every_conversation(lambda call: page([str(next(numbers))] * (call.query["page"] == "1"), 9)))
    assert next(numbers) >= MOST_SWEEPS
