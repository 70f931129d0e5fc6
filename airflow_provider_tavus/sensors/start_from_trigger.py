"""Whether a task can start in the triggerer."""

from __future__ import annotations

from typing import Any

KNOWN_WITHOUT_ASKING = {
    "dag",
    "dag_run",
    "data_interval_end",
    "data_interval_start",
    "ds",
    "ds_nodash",
    "logical_date",
    "macros",
    "params",
    "run_id",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
}
"""
What a template may speak of in the triggerer.

Airflow 3.3 hands these to it with the task. For anything else, an XCom for example, the template would ask the
triggerer's supervisor, which does not answer all that a worker's does, and without an answer it hangs for ever.
"""


def can_start_in_the_triggerer(*arguments: Any) -> bool:
    """
    Say whether this Airflow starts tasks in the triggerer, and could fill in these arguments there.

    :param arguments: the task's templated ones, as they stand in the DAG.
    """
    from airflow.triggers.base import BaseTrigger

    # Airflow has it since 3.3, as it has a scheduler that starts tasks there.
    return hasattr(BaseTrigger, "render_template_fields") and all(map(_can_be_filled_in, arguments))


def _can_be_filled_in(argument: Any) -> bool:
    if isinstance(argument, list | tuple):
        return all(map(_can_be_filled_in, argument))
    # What is no text is another task's output, which only a worker fetches.
    return isinstance(argument, str) and _names_in(argument) <= KNOWN_WITHOUT_ASKING


def _names_in(template: str) -> set[str]:
    from jinja2 import Environment, TemplateSyntaxError
    from jinja2.meta import find_undeclared_variables

    try:
        return find_undeclared_variables(Environment().parse(template))  # noqa: S701 - nothing is rendered
    except TemplateSyntaxError:
        return {"what the worker will complain about"}
