"""Scripts as JSON, for those who steer a box from another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_tavus.testing.events import ScriptedEvent
from airflow_provider_tavus.testing.script import Script
from airflow_provider_tavus.testing.turns import RawTurn, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMED: Mapping[str, Callable[..., Script]] = {
    "active": Script.active,
    "finished": Script.finished,
    "test_mode": Script.test_mode,
    "nobody_joined": Script.nobody_joined,
    "startup_failure": Script.startup_failure,
}


def script_from_json(described: Any) -> Script:
    """
    Return the script that JSON describes.

    :param described: the name of a script, such as ``"finished"``; or an object with its ``name`` and further
        fields of Script or of Shape. Turns are objects with the fields of Turn, or ``{"raw": …, "at": …}``;
        ``further_events`` are objects with the fields of ScriptedEvent.
    :raises ValueError: if it describes no script.
    """
    changes: dict[str, Any] = {"name": described} if isinstance(described, str) else dict(described or {})
    name = changes.pop("name", "finished")
    if name not in NAMED:
        raise ValueError(f"no script is named {name!r}; there is {', '.join(NAMED)}")
    if "turns" in changes:
        changes["turns"] = tuple(_turn(turn) for turn in changes["turns"])
    if "further_events" in changes:
        changes["further_events"] = tuple(ScriptedEvent(**event) for event in changes["further_events"])
    try:
        return NAMED[name](**changes)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _turn(described: Mapping[str, Any]) -> Turn | RawTurn:
    if "raw" in described:
        return RawTurn(described["raw"], at=described.get("at", 0.0))
    turn = dict(described)
    if turn.get("tool_calls") is not None:
        turn["tool_calls"] = tuple(turn["tool_calls"])
    return Turn(**turn)
