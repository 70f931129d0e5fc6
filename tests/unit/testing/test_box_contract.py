"""What the box says about itself, held against what it does, with arguments that fit and that do not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, settings

from airflow_provider_tavus.testing import ManualClock, TavusBox, drawn_script
from airflow_provider_tavus.testing.openapi import document

pytest.importorskip("schemathesis", reason="schemathesis is not installed beside this Airflow")

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

if TYPE_CHECKING:
    from collections.abc import Iterator

schema = schemathesis.openapi.from_dict(document())
# The key is sent with every call below; without it each answer would be a 401.
schema.config.generation.update(with_security_parameters=False)


@pytest.fixture(scope="module")
def box() -> Iterator[TavusBox]:
    """A box with a few conversations of every kind."""
    with TavusBox.in_thread(clock=ManualClock()) as box:
        for number in range(30):
            box.add(drawn_script(number), conversation_id=str(number), created_at=box.clock.now() - 1800)
        yield box


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def does_as_the_document_says(case: schemathesis.Case[Any], box: TavusBox) -> None:
    # No schema can tell which ids exist, and Tavus answers an unknown one with 400.
    out_of_reach: list[Any] = [positive_data_acceptance] if "conversation_id" in case.path_parameters else []
    case.call_and_validate(base_url=box.base_url, headers={"x-api-key": box.api_key}, excluded_checks=out_of_reach)


# One test for each call, under a name of its own: parametrized over all calls, they would share one id, and of tests
# with the same id only one runs where several workers share the tests.
for path, methods in document()["paths"].items():
    for method in [key for key in methods if key != "parameters"]:
        name = re.sub(r"\W+", "_", f"test_{method}{path}/does_as_the_document_says")
        globals()[name] = schema.include(path=path, method=method).parametrize()(does_as_the_document_says)


def test_every_read_and_row_of_a_varied_world_is_as_the_document_says(box: TavusBox) -> None:
    headers = {"x-api-key": box.api_key}
    listing = schema["/v2/conversations"]["GET"]
    page = listing.Case(query={"limit": 100}).call_and_validate(base_url=box.base_url, headers=headers)
    reading = schema["/v2/conversations/{conversation_id}"]["GET"]
    for row in page.json()["data"]:
        case = reading.Case(path_parameters={"conversation_id": row["conversation_id"]}, query={"verbose": "true"})
        answer = case.call_and_validate(base_url=box.base_url, headers=headers)
        assert answer.status_code == 200


def test_an_existing_conversation_ends_and_vanishes_as_the_document_says(box: TavusBox) -> None:
    conversation_id, headers = box.add(), {"x-api-key": box.api_key}
    for path, method, status in (("/end", "POST", 200), ("", "DELETE", 204)):
        operation = schema[f"/v2/conversations/{{conversation_id}}{path}"][method]
        case = operation.Case(path_parameters={"conversation_id": conversation_id})
        assert case.call_and_validate(base_url=box.base_url, headers=headers).status_code == status


def test_the_box_hands_out_its_document(box: TavusBox) -> None:
    assert requests.get(f"{box.base_url}/_box/openapi.json", timeout=5).json() == document()
