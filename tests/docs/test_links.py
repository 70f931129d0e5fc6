"""Links from one document to another, to a heading, or to a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from snippets import DOCUMENTS, PROJECT

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_IMAGE = 200_000
"""Bytes: a picture in a README is loaded by everybody who opens it."""


def links(document: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()) if "://" not in link]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_file(), link
        assert target.is_relative_to(PROJECT), link
        assert not anchor or anchor in anchors(target), link


def test_every_guide_can_be_reached_from_the_readme() -> None:
    reached = {link.partition("#")[0] for link in links(PROJECT / "README.md")}
    assert {str(guide.relative_to(PROJECT)) for guide in (PROJECT / "docs").glob("*.md")} <= reached


def test_pictures_are_small_and_shown() -> None:
    shown = {(document.parent / link).resolve() for document in DOCUMENTS for link in links(document)}
    for picture in (PROJECT / "docs" / "images").iterdir():
        assert picture in shown
        assert picture.stat().st_size < LARGEST_IMAGE
