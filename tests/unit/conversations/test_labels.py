"""Which conversations a filter lets pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.conversations.labels import Labels


def fits(name: str | None, pattern: str | None) -> bool:
    return Labels(conversation_name=pattern).fit(Labels(conversation_name=name))


@pytest.mark.parametrize(
    ("name", "pattern", "passes"),
    [
        ("Interview 7", "Interview *", True),
        ("Interview 7", "Interview ?", True),
        ("Interview 17", "Interview ?", False),
        ("interview 7", "Interview *", False),
        ("An Interview 7", "Interview *", False),
        (None, "*", True),
        (None, "?*", False),
        ("Interview 7", None, True),
        (None, None, True),
    ],
)
def test_a_name_is_a_pattern_with_stars_and_question_marks(name: str | None, pattern: str | None, passes: bool) -> None:
    assert fits(name, pattern) is passes


def test_brackets_in_a_pattern_stand_for_themselves() -> None:
    assert fits("[QA] call 1", "[QA] *")
    assert not fits("Q call with a customer", "[QA] *")
    assert not fits("A call with a customer", "[!QA] *")


@given(st.text(st.characters(exclude_characters="*?")))
def test_every_name_without_stars_and_question_marks_is_a_pattern_of_itself_alone(name: str) -> None:
    assert fits(name, name)
    assert not fits(name + "x", name)


def test_pal_and_face_have_to_be_the_very_same() -> None:
    labels = Labels("Interview 7", "p1", "f1")
    assert Labels(pal_id="p1", face_id="f1").fit(labels)
    assert not Labels(pal_id="p").fit(labels)
    assert not Labels(face_id="F1").fit(labels)
