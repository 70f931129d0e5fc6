from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from airflow.triggers.base import BaseTrigger

from airflow_provider_tavus.sensors.start_from_trigger import can_start_in_the_triggerer

THIS_AIRFLOW_CAN = hasattr(BaseTrigger, "render_template_fields")


@pytest.mark.parametrize(
    "argument",
    [
        "c123456",
        ["c1", "c2"],
        ("application.transcription_ready",),
        "{{ params.conversation_id }}",
        "{{ dag_run.conf['conversation_id'] | lower }}",
        "{% set day = ds %}{{ params[day] }}",
        ["{{ params.one }}", "{{ run_id }}"],
    ],
    ids=str,
)
def test_what_comes_with_the_task_can_be_filled_in_by_the_triggerer(argument: Any) -> None:
    assert can_start_in_the_triggerer(argument) is THIS_AIRFLOW_CAN


@pytest.mark.parametrize(
    "argument",
    [
        "{{ ti.xcom_pull(task_ids='create') }}",
        "{{ task_instance.xcom_pull(task_ids='create') }}",
        "{{ var.value.conversation }}",
        "{{ inlet_events['calls'][-1].extra.id }}",
        "{{ prev_start_date_success }}",
        "{{ a_macro_of_the_user() }}",
        "{{ not a template",
        ["c1", "{{ ti.xcom_pull(task_ids='create') }}"],
        None,
    ],
    ids=str,
)
def test_what_has_to_be_fetched_needs_a_worker(argument: Any) -> None:
    assert not can_start_in_the_triggerer(argument)


def test_the_output_of_another_task_needs_a_worker() -> None:
    with DAG("from_another_task", schedule=None):
        create = BaseOperator(task_id="create")

    assert not can_start_in_the_triggerer(create.output)
