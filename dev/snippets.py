"""The code blocks of the documents, so that what they show can be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = (PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").glob("*.md")))
TESTED_ELSEWHERE = frozenset({"tables.md", "testing.md"})
"""Documents whose blocks have tests of their own, beside what they tell of."""

FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
DAG = re.compile(r"^with DAG\(\s*\"(?P<dag_id>\w+)\"(?P<arguments>.*?)\):$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block: what it says, and where it stands."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.document.stem}_{self.line}".lower().replace("-", "_")

    @property
    def runs_here(self) -> bool:
        """Whether this Airflow is as new as its first line may ask for."""
        asked = re.match(r"# Airflow (\d+)\.(\d+) and later\n", self.text)
        here = tuple(map(int, version("apache-airflow").split(".")[:2]))
        return asked is None or here >= tuple(map(int, asked.groups()))

    @property
    def watches(self) -> bool:
        """Whether its DAGs are started by what a watcher sees, which has a test of its own."""
        return "AssetWatcher(" in self.text

    @property
    def dags(self) -> list[str]:
        """The ids of its DAGs that somebody has to trigger."""
        return [dag["dag_id"] for dag in DAG.finditer(self.text) if "schedule=None" in dag["arguments"]]

    @property
    def scheduled_dags(self) -> list[str]:
        """The ids of its DAGs that start by themselves."""
        return [dag["dag_id"] for dag in DAG.finditer(self.text) if "schedule=None" not in dag["arguments"]]


def blocks(*languages: str) -> list[Block]:
    """All code blocks in these languages, in the order in which somebody reads them."""
    return [
        Block(document, text.count("\n", 0, found.start()) + 1, found["language"], found["text"])
        for document in DOCUMENTS
        if document.name not in TESTED_ELSEWHERE
        for text in [document.read_text()]
        for found in FENCED.finditer(text)
        if found["language"] in languages
    ]


def write_dags(folder: Path) -> Path:
    """Write each block that holds a DAG into a file of its own, as a reader would, and return the folder."""
    for block in blocks("python"):
        if block.runs_here and (block.dags or block.scheduled_dags):
            (folder / f"{block.name}.py").write_text(block.text)
    return folder
