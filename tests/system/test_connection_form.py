"""The connection form, as each Airflow draws it."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from real_airflow import RealAirflow

EXTRAS = {"connect_timeout", "read_timeout", "retries", "proxy", "ca_bundle", "verify"}


def test_airflow_lists_the_provider_without_a_complaint(airflow: RealAirflow) -> None:
    hooks = airflow.command("providers", "hooks", "-o", "json")

    (ours,) = [hook for hook in json_of(hooks.stdout) if hook["connection_type"] == "tavus"]
    assert ours["hook_name"] == "Tavus"
    assert "airflow_provider_tavus" not in hooks.stderr


def test_the_form_asks_for_a_key_and_a_base_url(airflow: RealAirflow) -> None:
    if airflow.major < 3:
        page = urllib.request.urlopen(f"{airflow.address}/connection/add").read().decode()
        assert all(f"extra__tavus__{name}" in page for name in EXTRAS)
        assert "API key" in page
        return
    (form,) = [form for form in airflow.rest.json("/ui/connections/hook_meta") if form["connection_type"] == "tavus"]
    assert form["hook_name"] == "Tavus"
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["url_schema"]["hidden"]
    assert form["extra_fields"].keys() == EXTRAS


def json_of(output: str) -> Any:
    """Read the JSON that ends an output; Airflow may have logged before it."""
    return json.loads(output[output.index("[{") :])
