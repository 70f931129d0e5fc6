"""What Airflow and its registry are told about the provider is true and complete."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from airflow_provider_tavus.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(import_module("airflow_provider_tavus").__path__[0])
AIRFLOW = next(iter(find_spec("airflow").submodule_search_locations))  # type: ignore[union-attr, arg-type]
AIRFLOW_VERSION = tuple(map(int, version("apache-airflow").split(".")[:2]))
KINDS = ("hooks", "operators", "sensors", "triggers")
INFO: dict[str, Any] = get_provider_info()


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((Path(AIRFLOW) / name).read_text()))


def listed_modules(kind: str) -> list[str]:
    return [module for entry in INFO[kind] for module in entry["python-modules"]]


def modules_of(kind: str) -> Iterator[str]:
    """The modules that hold a public class, by what lies in the folder of that kind."""
    for file in sorted((PACKAGE / kind).glob("*.py")):
        bases = {
            base.id
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            for base in node.bases
            if isinstance(base, ast.Name)
        }
        if bases & {"BaseHook", "BaseOperator", "BaseSensorOperator", "BaseTrigger", "BaseEventTrigger"}:
            yield f"airflow_provider_tavus.{kind}.{file.stem}"


def named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def test_airflow_accepts_it_at_run_time() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


@pytest.mark.skipif(AIRFLOW_VERSION < (3, 2), reason="the schema has grown: the tags and the fields of today are newer")
def test_it_keeps_to_the_stricter_schema_for_the_development_of_providers() -> None:
    strict = schema("provider.yaml.schema.json")
    # The others of the required keys are about how the community's own providers are released.
    strict["required"] = ["name", "package-name", "description"]
    jsonschema.validate(INFO, strict)


def test_it_is_found_by_its_entry_point_under_the_name_of_the_distribution() -> None:
    found = entry_points(group="apache_airflow_provider")
    ours = [entry for entry in found if entry.dist is not None and entry.dist.name == INFO["package-name"]]
    assert [entry.load() for entry in ours] == [get_provider_info]


def test_importing_it_imports_nothing_else() -> None:
    probe = (
        "import sys; before = set(sys.modules); import airflow_provider_tavus.get_provider_info as module;"
        "module.get_provider_info(); print(*sorted(set(sys.modules) - before))"
    )
    imported = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd="/")
    assert set(imported.stdout.split()) <= {
        "__future__",
        "airflow_provider_tavus",
        "airflow_provider_tavus.get_provider_info",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_is_listed_and_every_listed_one_is_there(kind: str) -> None:
    assert sorted(listed_modules(kind)) == list(modules_of(kind))
    for module in listed_modules(kind):
        import_module(module)


def test_every_connection_type_names_its_own_hook() -> None:
    for connection in INFO["connection-types"]:
        hook = named(connection["hook-class-name"])
        assert hook.conn_type == connection["connection-type"]
        assert hook.hook_name == connection["hook-name"]
        assert hook.default_conn_name == "tavus_default"


def test_every_extra_link_is_a_link_with_a_name() -> None:
    links = [named(path)() for path in INFO["extra-links"]]
    assert links
    assert all(link.name for link in links)


def test_the_registry_is_told_the_same() -> None:
    registry = yaml.safe_load((PACKAGE.parent / ".airflow-registry.yaml").read_text())
    assert registry["package-name"] == INFO["package-name"]
    assert registry["display-name"] == INFO["name"]
    for kind in KINDS:
        assert [entry["module"] for entry in registry[kind]] == listed_modules(kind)
        assert all(entry["description"] for entry in registry[kind])
