"""The commands that the documents tell people to type; those of Airflow run on a real one, in `tests/system`."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from snippets import DOCUMENTS, PROJECT, blocks

from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.callbacks.settings import A_TOKEN
from airflow_provider_tavus.hooks.tavus import TavusHook

COMMANDS = [command for block in blocks("bash") for command in block.text.replace("\\\n", " ").splitlines()]
TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def commands(*words: str) -> list[str]:
    return [command for command in COMMANDS if shlex.split(command)[: len(words)] == list(words)]


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    kinds = [("make",), ("pip", "install"), ("export",), ("airflow", "connections"), ("python", "-c")]
    assert sorted(COMMANDS) == sorted(command for kind in kinds for command in commands(*kind))


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
@pytest.mark.parametrize("command", commands("make"))
def test_make_knows_what_to_do(command: str) -> None:
    plan = subprocess.run([*shlex.split(command), "-n"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr
    (script,) = re.findall(r"bin/python (-m pytest|dev/demo\.py)", plan.stdout)
    assert script


def test_every_target_that_is_named_exists() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"`make ([a-z-]+)", document.read_text()):
            assert target in TARGETS, f"{document.name}: make {target}"


def test_the_tests_that_people_run_are_those_that_a_change_has_to_pass() -> None:
    steps = (PROJECT / ".ci" / "run").read_text()
    assert commands("make") == ["make demo", "make test"]
    assert "\nstep make test\n" in steps


def test_what_pip_is_to_install_is_this_distribution() -> None:
    (command,) = commands("pip", "install")
    (wanted,) = shlex.split(command)[2:]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert Requirement(wanted).name == project["name"]


@pytest.mark.parametrize(
    ("command", "settings"),
    list(
        zip(
            commands("export"),
            [
                ClientSettings(api_key="<your Tavus API key>", read_timeout=60),
                ClientSettings(api_key="your-Tavus-API-key", read_timeout=60),
                ClientSettings(api_key="your-Tavus-API-key", base_url="http://localhost:8080", retries=0),
            ],
            strict=True,
        )
    ),
)
def test_a_connection_in_the_environment_says_what_its_text_says(
    command: str, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Through a shell, so that the quoting is tried as well.
    shell = subprocess.run(
        ["bash", "-c", f'{command}\nprintf %s "$AIRFLOW_CONN_TAVUS_DEFAULT"'],
        capture_output=True,
        text=True,
        check=True,
    )
    monkeypatch.setenv("AIRFLOW_CONN_TAVUS_DEFAULT", shell.stdout)
    assert TavusHook().settings == settings


def test_the_token_that_python_makes_is_one_that_callbacks_can_have() -> None:
    (command,) = commands("python", "-c")
    made = subprocess.run([sys.executable, *shlex.split(command)[1:]], capture_output=True, text=True, check=True)
    assert A_TOKEN.fullmatch(made.stdout.strip())
