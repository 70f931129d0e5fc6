"""What the documents show of Python and of results. Their DAGs run on a real Airflow, in `tests/system`."""

from __future__ import annotations

import json
import runpy
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, XComArg
from snippets import DOCUMENTS, PROJECT, TESTED_ELSEWHERE, Block, blocks, write_dags

from airflow_provider_tavus.conversations.plain import as_plain
from airflow_provider_tavus.conversations.readiness import REASONS, Verdict, judge
from airflow_provider_tavus.hooks.tavus import TavusHook
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_tavus.api.models import Conversation

PYTHON = blocks("python")
OF_EVENTS = ("ini", "nginx", "caddyfile")
"""Languages that are tested in `test_events.py`."""
SCRIPTS = [block for block in PYTHON if not (block.dags or block.scheduled_dags)]
LONG_AGO = time.time() - 3600


def shown(document: str) -> dict[str, Any]:
    """The one JSON example of a document."""
    (example,) = [block for block in blocks("json") if block.document.name == document]
    return dict(json.loads(example.text))


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.name)
def test_a_script_runs_as_it_stands(block: Block, tavus_box: TavusBox) -> None:
    for conversation_id in ("c123456", "c234567"):
        tavus_box.add(Script.finished(), conversation_id=conversation_id, created_at=LONG_AGO)
    exec(compile(block.text, block.name, "exec"), {"__name__": block.name})
    assert tavus_box.count() > 0


def test_every_dag_has_an_id_of_its_own() -> None:
    dag_ids = [dag_id for block in PYTHON for dag_id in block.dags + block.scheduled_dags]
    assert len(dag_ids) == len(set(dag_ids))
    assert sum(block.text.count("DAG(") for block in PYTHON) == len(dag_ids), "a DAG is written so that no test sees it"


def tasks_of(file: Path) -> list[Any]:
    """The tasks of all DAGs in a file of DAGs, as far as it gives any of their tasks a name."""
    named = [getattr(value, "operator", value) for value in runpy.run_path(str(file)).values()]
    dags = {value.dag_id: value.dag for value in named if isinstance(value, BaseOperator) and value.has_dag()}
    return [task for dag in dags.values() for task in dag.tasks]


def arguments_of(task: Any) -> list[Any]:
    """What Airflow renders of a task, and stores."""
    if isinstance(task, BaseOperator):
        return [getattr(task, name) for name in task.template_fields]
    return [task.partial_kwargs, task._get_specified_expand_input().value]


def test_no_task_is_given_a_whole_conversation_as_its_argument(tmp_path: Path) -> None:
    # Airflow stores and shows the arguments of a task: a room's URL or a transcript has no place there.
    files = [*write_dags(tmp_path).glob("*.py"), *(PROJECT / "example_dags").glob("*.py")]
    given = [
        (task.task_id, giver.operator_name, key)
        for file in files
        for task in tasks_of(file)
        for giver, key in XComArg.iter_xcom_references(arguments_of(task))
    ]
    whole = {("CreateConversationOperator", "return_value"), ("GetConversationOperator", "return_value")}
    assert [one for one in given if one[1:] in whole] == []
    assert given.count(("invite", "CreateConversationOperator", "conversation_id")) == 2


def test_every_block_is_in_a_language_that_is_tested() -> None:
    documents = [document for document in DOCUMENTS if document.name not in TESTED_ELSEWHERE]
    fences = sum(document.read_text().count("```") for document in documents)
    assert 2 * len(blocks("python", "bash", "json", *OF_EVENTS)) == fences


def read(box: TavusBox, script: Script) -> Conversation:
    box.add(script, conversation_id="c1", created_at=LONG_AGO)
    return TavusHook().get_conversation("c1", verbose=True)


def test_the_shown_conversation_has_the_shape_of_a_real_one(tavus_box: TavusBox) -> None:
    real = as_plain(read(tavus_box, Script.finished()))
    example = shown("get-conversation.md")

    assert list(example) == list(real)
    assert {key: type(value) for key, value in example.items() if real[key] is not None} == {
        key: type(value) for key, value in real.items() if value is not None
    }
    (turn,), (event,) = example["transcript"], example["events"]
    assert list(turn) == list(next(turn for turn in real["transcript"] if turn["role"] == "user"))
    assert list(event) == list(real["events"][0])


def test_the_shown_verdict_is_a_real_one(tavus_box: TavusBox) -> None:
    conversation = read(tavus_box, Script.nobody_joined())
    wanted = ("application.transcription_ready",)
    verdict = judge(conversation, wait_for=wanted, grace_period=600, now=time.time(), waiting_since=LONG_AGO)
    real = verdict.as_plain()
    example = shown("waiting.md")

    assert example.keys() == real.keys()
    told = {"conversation_id", "ended_at"}
    assert {key: value for key, value in example.items() if key not in told} == {
        key: value for key, value in real.items() if key not in told
    }
    assert example["reason"] in REASONS
    assert Verdict.from_plain(example).as_plain() == example
