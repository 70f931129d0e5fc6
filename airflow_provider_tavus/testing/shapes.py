"""How a conversation is spelled: the variants that real bodies show for one and the same fact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Shape:
    """
    The spelling of a conversation's body.

    :param names: ``old`` says replica_id and persona_id, ``new`` face_id and pal_id, ``none`` neither.
    :param events: what a verbose read holds: the ``list`` of events, ``null``, an ``empty`` list, or
        ``missing``.
    :param event_order: events sorted by ``time``, ``reversed``, or ``shuffled`` (the same way at every read).
    :param event_fractions: whether times of events and of the conversation have microseconds.
    :param reason_key: where system.shutdown keeps its reason: ``reason`` (the documented read) or
        ``shutdown_reason`` (callbacks and live reads).
    :param reason_reached: whether reasons end in " reached".
    :param top_level_reason: the body's own ``shutdown_reason``: ``absent``, ``null``, or ``told``.
    :param joined: which joined event is sent: ``replica``, ``pal``, or ``both`` for one and the same fact.
    :param joined_properties: whether the joined event has ``properties``.
    :param turn_times: ``epoch`` (float seconds), ``iso``, or ``absent`` as in 2025, with role and content
        only.
    :param empty_transcript_properties: application.transcription_ready with ``properties: {}``.
    :param labels: whether a read has conversation_name, conversation_url and callback_url.
    :param minimal: conversation_id and status only (and the events, if verbose).
    :param list_times: whether rows of the list have times; if not, they are empty strings.
    """

    names: Literal["old", "new", "none"] = "old"
    events: Literal["list", "null", "empty", "missing"] = "list"
    event_order: Literal["time", "reversed", "shuffled"] = "time"
    event_fractions: bool = True
    reason_key: Literal["reason", "shutdown_reason"] = "shutdown_reason"
    reason_reached: bool = False
    top_level_reason: Literal["absent", "null", "told"] = "absent"
    joined: Literal["replica", "pal", "both"] = "replica"
    joined_properties: bool = True
    turn_times: Literal["epoch", "iso", "absent"] = "epoch"
    empty_transcript_properties: bool = False
    labels: bool = True
    minimal: bool = False
    list_times: bool = True

    def __post_init__(self) -> None:
        """Refuse a spelling that there is not: reads would fail of it, or be spelled in another way."""
        for field, spellings in SPELLINGS.items():
            if getattr(self, field) not in spellings:
                raise ValueError(f"{field} must be one of {spellings}, not {getattr(self, field)!r}")


SPELLINGS: Mapping[str, tuple[Any, ...]] = {
    field: get_args(hint) or (True, False) for field, hint in get_type_hints(Shape).items()
}
"""What each field of a shape can be."""

PLAIN = Shape()
"""The spelling of most bodies."""
