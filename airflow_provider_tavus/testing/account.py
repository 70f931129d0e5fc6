"""The account that the box plays: its key, its limits, and its habits where the documentation is silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_tavus.testing.listing import ListView
from airflow_provider_tavus.testing.script import Script

OnCreate = Callable[[dict[str, Any]], Script]


@dataclass
class Account:
    """
    The account that the box plays.

    :param api_key: the key that it accepts.
    :param concurrency_limit: how many conversations may go on at a time; None is no limit.
    :param credits: how many conversations can still be created; None is no end.
    :param second_end: what ``end`` of an ended conversation answers; both are reported from live calls.
    :param list_view: how the list call sees the conversations; trouble can change that call by call.
    :param on_create: makes the script of a conversation that is created over HTTP, from the call's body.
    """

    api_key: str
    concurrency_limit: int | None = None
    credits: int | None = None
    second_end: Literal[200, 400] = 200
    list_view: ListView = field(default_factory=ListView)
    on_create: OnCreate = lambda body: Script.finished()
