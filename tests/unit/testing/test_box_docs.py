from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing.answers import HTML
from airflow_provider_tavus.testing.scenes import SCENES
from airflow_provider_tavus.testing.script_json import NAMED
from airflow_provider_tavus.testing.troubles import KINDS

if TYPE_CHECKING:
    import pytest

    from airflow_provider_tavus.testing import TavusBox

PAGE = (Path(__file__).parents[3] / "docs" / "testing.md").read_text()


def test_the_shorter_examples_run_too(box: TavusBox, capsys: pytest.CaptureFixture[str]) -> None:
    _, trouble, without_pytest = (block.split("```", 1)[0] for block in PAGE.split("```python\n")[1:])

    exec(trouble, {"tavus_box": box})
    exec(without_pytest, {})

    assert "http://127.0.0.1:" in capsys.readouterr().out


def test_the_page_names_every_script_scene_and_kind_of_trouble() -> None:
    for name in (*SCENES, *KINDS, *(f"Script.{script}" for script in NAMED)):
        assert f"`{name}" in PAGE, name


def test_what_the_page_says_about_typical_answers_is_so(box: TavusBox) -> None:
    answers = {status: box.trouble(status=status).answer() for status in (403, 502, 503)}

    assert answers[403].headers["Content-Type"] == answers[503].headers["Content-Type"] == HTML
    assert b"{" not in answers[502].body
