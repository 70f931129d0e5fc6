from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.conversations.identity import LONGEST_NAME, Mark, identity_of

MARK = Mark("0123456789abcdef01234567", "2")
TASK = {"deployment": "here", "dag_id": "d", "task_id": "t", "run_id": "r"}


@given(st.none() | st.text(max_size=LONGEST_NAME))
def test_a_mark_is_read_back_from_whatever_name_it_was_put_on(name: str | None) -> None:
    marked = MARK.put_on(name)
    assert Mark.of(marked) == MARK
    assert marked.startswith(name or "")


@pytest.mark.parametrize(
    "name",
    [None, "", "Interview", f"{MARK} Interview", f"x{MARK}", f"{MARK}\n", "[airflow 0123/2]", str(MARK).upper()],
)
def test_what_only_looks_like_a_mark_is_none(name: str | None) -> None:
    assert Mark.of(name) is None


def test_of_two_marks_the_last_one_counts() -> None:
    other = Mark("f" * 24, "0")
    assert Mark.of(MARK.put_on(str(other))) == MARK


def test_a_name_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="at most 200"):
        MARK.put_on("x" * (LONGEST_NAME + 1))


def test_whatever_tells_two_task_instances_apart_tells_their_identities_apart() -> None:
    mine = identity_of(**TASK, map_index=-1)
    assert mine == identity_of(**TASK, map_index=-1)
    others = [identity_of(**{**TASK, name: "another"}, map_index=-1) for name in TASK]
    others += [identity_of(**TASK, map_index=0), identity_of(**{**TASK, "dag_id": "dt", "task_id": ""}, map_index=-1)]
    assert len({mine, *others}) == 1 + len(others)
    assert Mark.of(str(Mark(mine, "0")))
