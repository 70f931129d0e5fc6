"""What the guide to events tells of callbacks, held against the code, and as far as they are here the proxies."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from typing import TYPE_CHECKING, Any

import pytest
from snippets import PROJECT, blocks

from airflow_provider_tavus.callbacks import bodies
from airflow_provider_tavus.callbacks.settings import CALLBACKS_PATH, SECTION, URL_PREFIX, CallbackSettings
from airflow_provider_tavus.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (PROJECT / "docs" / "events.md").read_text()
OPTIONS: dict[str, dict[str, Any]] = get_provider_info()["config"][SECTION]["options"]  # type: ignore[index]


def one_block(language: str) -> str:
    (block,) = blocks(language)
    return block.text


def rows() -> dict[str, list[str]]:
    """The rows of all tables, by the text of their first cell."""
    split = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*$", PAGE, re.MULTILINE)
    ]
    return {row[0].strip("`"): row for row in split}


def test_the_configuration_that_is_shown_is_one_that_there_is() -> None:
    shown = ConfigParser()
    shown.read_string(one_block("ini"))
    assert shown.sections() == [SECTION]
    assert set(shown[SECTION]) <= set(OPTIONS)


def test_every_option_has_its_row_and_its_default() -> None:
    assert set(OPTIONS) <= set(rows())
    assert rows()["callback_asset"][2].strip("`") == OPTIONS["callback_asset"]["default"]


def test_what_proxies_pass_on_is_the_path_of_callbacks() -> None:
    path = CallbackSettings(tokens=("",), base_url="https://callbacks.example.com").callback_url.split(".com")[1]
    assert path == f"{URL_PREFIX}{CALLBACKS_PATH}/"
    assert f"location {path} {{" in one_block("nginx")
    assert f"path {path}*\n" in one_block("caddyfile")


def test_the_limits_that_are_told_are_those_of_the_code() -> None:
    mebibytes = 1024 * 1024
    assert f"a body over {bodies.LARGEST_BODY // mebibytes} MiB" in PAGE
    assert f"more than {bodies.LONGEST_READ:.0f} seconds" in PAGE
    each = f"each counted as {bodies.EACH_AT_LEAST // 1024} KiB at least"
    assert f"more than {bodies.IN_FLIGHT // mebibytes} MiB of bodies at once, {each}" in PAGE


@pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx on this machine")
def test_nginx_accepts_what_is_shown_of_it(tmp_path: Path) -> None:
    shown = one_block("nginx").replace("listen 443 ssl", "listen 18443").replace("airflow-api-server", "127.0.0.1")
    shown = shown.replace("/var/log/nginx", str(tmp_path))
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/nginx.pid;\nevents {{}}\nhttp {{\n{shown}\n}}\n")
    check = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    # Its folders need not be there, nor the right to write into them.
    assert "syntax is ok" in check.stderr, check.stderr


@pytest.mark.skipif(not shutil.which("caddy"), reason="no Caddy on this machine")
def test_caddy_accepts_what_is_shown_of_it(tmp_path: Path) -> None:
    config, shown = tmp_path / "Caddyfile", one_block("caddyfile")
    version = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout
    if version.lstrip("v").startswith(("2.4.", "2.5.", "2.6.")):
        # Before 2.7, it was said in another way.
        shown = shown.replace("request_buffers 2MiB", "buffer_requests")
    config.write_text(shown)
    check = subprocess.run(["caddy", "adapt", "--config", str(config)], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
