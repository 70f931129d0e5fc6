"""Trouble on request: which requests it meets, and what it does to them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_tavus.testing.answers import (
    JSON,
    Answer,
    html_answer,
    json_answer,
    not_json_answer,
    typical_answer,
)
from airflow_provider_tavus.testing.listing import checked_order
from airflow_provider_tavus.testing.routes import STOCK, checked_route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_tavus.testing.listing import Order

Kind = Literal[
    "answer",
    "html",
    "not_json",
    "cut",
    "reset",
    "hang",
    "drip",
    "latency",
    "lost_answer",
    "refuse",
    "list_order",
    "list_cap",
    "list_lag",
    "list_churn",
]
KINDS: tuple[str, ...] = get_args(Kind)
INSTEAD_OF_WORK = frozenset({"answer", "html", "not_json", "reset", "hang"})
"""Kinds that keep the call from being done; with the others it is done, and its answer suffers."""
OF_LISTS = frozenset({"list_order", "list_cap", "list_lag", "list_churn"})
"""Kinds that make the list odd; they meet list calls only."""
JOINING = OF_LISTS | {"latency"}
"""Kinds that join others; of the rest, one at most meets a request."""


@dataclass(eq=False, kw_only=True)
class Trouble:
    """
    One kind of trouble and the requests that it meets.

    What it does:

    :param kind: ``answer`` a status, body and headers of choice; ``html`` a page; ``not_json`` text that
        claims to be JSON; ``cut`` the answer breaks off in the middle; ``reset`` the connection is reset;
        ``hang`` the request is never answered; ``drip`` the answer comes byte by byte; ``latency`` it comes
        late; ``lost_answer`` the work is done, but the connection is reset or hangs before the answer.
    :param status: of ``answer``, ``html`` and ``not_json``.
    :param body: of ``answer``: text as it is, anything else as JSON; if None, what the status usually comes
        with.
    :param headers: more headers of an answer.
    :param retry_after: the header Retry-After, in seconds or as a date.
    :param seconds: of ``latency`` and ``drip``: how long it takes, in real seconds.
    :param hangs: of ``lost_answer``: whether the connection hangs instead of being reset.

    :param order: of ``list_order``: newest, oldest, random, or shuffled afresh at every call.
    :param limit: of ``list_cap``: how many rows a page has, at most.
    :param lag: of ``list_lag``: how far the list is behind, in seconds of the box's clock.
    :param come: of ``list_churn``: how many conversations are created.
    :param finish: of ``list_churn``: how many that go on are ended, at most.
    :param vanish: of ``list_churn``: how many are deleted, at most.

    Whom it meets:

    :param route: requests of this call only.
    :param conversation_id: requests of this conversation only.
    :param after: how many such requests pass unharmed first.
    :param times: how many are met then; None is no end.
    :param chance: how likely each of them is met, from 0 to 1.
    :param begins: not before this moment, in epoch seconds of the box's clock.
    :param ends: not from this moment on, likewise.
    """

    kind: Kind = "answer"
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | str | None = None
    seconds: float = 0.0
    hangs: bool = False
    order: Order = "random"
    limit: int = 10
    lag: float = 0.0
    come: int = 0
    finish: int = 0
    vanish: int = 0
    route: str | None = None
    conversation_id: str | None = None
    after: int = 0
    times: int | None = None
    chance: float = 1.0
    begins: float | None = None
    ends: float | None = None
    on_stop: Callable[[], None] | None = None
    stopped: bool = False
    passed: int = 0
    happened: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense, rather than never happen."""
        if self.kind not in KINDS:
            raise ValueError(f"no trouble of kind {self.kind!r}; there is {', '.join(KINDS)}")
        checked_route(self.route)
        checked_order(self.order)
        if self.kind in OF_LISTS and self.route not in {None, "list"}:
            raise ValueError(f"{self.kind} is trouble of the list call, not of {self.route}")
        if self.conversation_id is not None and (self.kind in OF_LISTS or self.route in {"create", "list", *STOCK}):
            raise ValueError(f"a request to {self.route or 'list'} names no conversation: leave conversation_id out")
        if (self.kind, self.seconds) == ("latency", 0) or (self.kind, self.lag) == ("list_lag", 0):
            raise ValueError(f"{self.kind} of no seconds is none: say how many")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"a chance is from 0 to 1, not {self.chance}")
        if self.kind == "refuse" and not self._is_about_everything():
            raise ValueError("a refused connection has no route yet: ask for a stretch of time only")

    def stop(self) -> None:
        """Let no further request be met."""
        was_on, self.stopped = not self.stopped, True
        if was_on and self.on_stop is not None:
            self.on_stop()

    def meets(self, route: str, conversation_id: str | None, now: float, luck: random.Random) -> bool:
        """Tell whether it meets a request, and count the request if so."""
        if self.stopped or not self._is_about(route, conversation_id) or not self._is_on(now):
            return False
        if self.passed < self.after:
            self.passed += 1
            return False
        if self.times is not None and self.happened >= self.times:
            return False
        if self.chance < 1 and luck.random() >= self.chance:
            return False
        self.happened += 1
        return True

    def answer(self) -> Answer:
        """Return the answer of those kinds that put one in the place of the real one."""
        match self.kind:
            case "html":
                answer = html_answer(self.status or 200, "Please wait")
            case "not_json":
                answer = not_json_answer(self.status or 200)
            case _:
                answer = self._own_answer()
        headers = {**answer.headers, **self.headers}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return Answer(answer.status, answer.body, headers)

    def _own_answer(self) -> Answer:
        status = self.status or 500
        if self.body is None:
            return typical_answer(status)
        if isinstance(self.body, str):
            return Answer(status, self.body.encode(), {"Content-Type": JSON})
        return json_answer(self.body, status)

    def _is_about_everything(self) -> bool:
        chosen = (self.route, self.conversation_id, self.times, self.begins)
        return chosen == (None, None, None, None) and self.after == 0 and self.chance == 1.0

    def _is_about(self, route: str, conversation_id: str | None) -> bool:
        if self.kind == "refuse" or (self.kind in OF_LISTS and route != "list"):
            return False
        return self.route in {None, route} and self.conversation_id in {None, conversation_id}

    def _is_on(self, now: float) -> bool:
        return (self.begins is None or now >= self.begins) and (self.ends is None or now < self.ends)


class Troubles:
    """
    All trouble that was asked for, in the order in which it was.

    :param seed: of what happens by chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self._luck = random.Random(f"trouble {seed}")  # noqa: S311 - a play needs no secrecy
        self._asked_for: list[Trouble] = []

    def __iter__(self) -> Iterator[Trouble]:
        return iter(tuple(self._asked_for))

    def add(self, trouble: Trouble) -> Trouble:
        """Begin a trouble, and forget those that have been stopped."""
        self._asked_for = [earlier for earlier in self._asked_for if not earlier.stopped]
        self._asked_for.append(trouble)
        return trouble

    def meeting(self, route: str, conversation_id: str | None, now: float) -> list[Trouble]:
        """Return the troubles that meet a request: those that join others, and the first of the rest."""
        met: list[Trouble] = []
        for trouble in self._asked_for:
            if trouble.kind not in JOINING and any(earlier.kind not in JOINING for earlier in met):
                continue
            if trouble.meets(route, conversation_id, now, self._luck):
                met.append(trouble)
        return met
