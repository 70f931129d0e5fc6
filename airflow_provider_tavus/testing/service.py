"""The calls of https://docs.tavus.io/api-reference as the box answers them: a request in, an answer out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_tavus.testing import answers
from airflow_provider_tavus.testing.answers import Answer, json_answer
from airflow_provider_tavus.testing.bodies import create_body, list_row, read_body
from airflow_provider_tavus.testing.conversation import DEFAULT_PERSONA, DEFAULT_REPLICA, Conversation
from airflow_provider_tavus.testing.script import Script

if TYPE_CHECKING:
    from airflow_provider_tavus.testing.clocks import Clock
    from airflow_provider_tavus.testing.listing import Order
    from airflow_provider_tavus.testing.world import World

STOCK = {"pals": "pal", "personas": "persona", "faces": "face", "replicas": "replica"}
"""The collections that clients probe with, and what a row of each is; pals are personas, faces replicas."""

OnCreate = Callable[[dict[str, Any]], Script]


@dataclass(frozen=True)
class Request:
    """A request, as far as the service looks at it."""

    method: str
    route: str
    query: Mapping[str, str]
    conversation_id: str | None = None
    body: bytes = b""


@dataclass
class Account:
    """The account that the box plays.

    :param api_key: the key that it accepts.
    :param concurrency_limit: how many conversations may go on at a time; None is no limit.
    :param credits: how many conversations can still be created; None is no end.
    :param second_end: what ``end`` of an ended conversation answers; both are reported from live calls.
    :param list_order: the order of the list, which is not documented.
    :param list_limit_cap: the highest ``limit`` that the list keeps to without a word; None is none.
    :param list_lag: how many seconds of the box's clock the list lags behind.
    :param on_create: makes the script of a conversation that is created over HTTP, from the call's body.
    """

    api_key: str
    concurrency_limit: int | None = None
    credits: int | None = None
    second_end: Literal[200, 400] = 200
    list_order: Order = "newest"
    list_limit_cap: int | None = None
    list_lag: float = 0.0
    on_create: OnCreate = lambda body: Script.finished()


def route_of(method: str, segments: list[str]) -> tuple[str, str | None]:
    """Return the name of the call that a path means, and the conversation that it is about.

    :param segments: the path's segments, decoded.
    """
    match method, segments:
        case "POST", ["v2", "conversations"]:
            return "create", None
        case "GET", ["v2", "conversations"]:
            return "list", None
        case "GET", ["v2", "conversations", conversation_id]:
            return "get", conversation_id
        case "DELETE", ["v2", "conversations", conversation_id]:
            return "delete", conversation_id
        case "POST", ["v2", "conversations", conversation_id, "end"]:
            return "end", conversation_id
        case "GET", ["v2", stock] if stock in STOCK:
            return stock, None
        case _, ["v2", "conversations"] | ["v2", "conversations", _] | ["v2", "conversations", _, "end"]:
            return "method_not_allowed", None
        case _, ["v2", stock] if stock in STOCK:
            return "method_not_allowed", None
        case _:
            return "unknown", None


class Service:
    """Answers the calls from what the world is at that moment."""

    def __init__(self, world: World, account: Account, clock: Clock, seed: int = 0) -> None:
        self.world = world
        self.account = account
        self.clock = clock
        self.seed = seed
        self._tokens = random.Random(f"tokens {seed}")  # noqa: S311 - opens no door

    def answer(self, request: Request, api_key: str | None) -> Answer:
        """Do what a request asks for, and return the answer."""
        if api_key != self.account.api_key:
            return answers.INVALID_KEY
        match request.route:
            case "create":
                return self._create(request)
            case "list":
                return self._list(request)
            case "get" | "end" | "delete":
                return self._one(request)
            case "method_not_allowed":
                return answers.METHOD_NOT_ALLOWED
            case stock if stock in STOCK:
                return self._stock(stock)
            case _:
                return answers.NOT_FOUND

    def _create(self, request: Request) -> Answer:
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            return answers.bad_request("The request body is not valid JSON")
        if not isinstance(body, dict):
            return answers.bad_request("The request body must be an object")
        account, now = self.account, self.clock.now()
        if account.credits is not None and account.credits <= 0:
            return answers.OUT_OF_CREDITS
        limit = account.concurrency_limit
        if limit is not None and len(self.world.active(now)) >= limit:
            return answers.TOO_MANY_CONVERSATIONS
        if account.credits is not None:
            account.credits -= 1
        script = Script.test_mode() if body.get("test_mode") is True else account.on_create(body)
        conversation = Conversation(
            conversation_id=self.world.new_id(),
            script=script.limited_by(body.get("properties") or {}),
            created_at=now,
            name=body.get("conversation_name"),
            callback_url=body.get("callback_url") or "",
            replica_id=body.get("face_id") or body.get("replica_id") or DEFAULT_REPLICA,
            persona_id=body.get("pal_id") or body.get("persona_id") or DEFAULT_PERSONA,
        )
        self.world.put(conversation)
        token = (
            f"eyJmYWtl.{self._tokens.getrandbits(128):032x}.box" if body.get("require_auth") is True else None
        )
        return json_answer(create_body(conversation, now, meeting_token=token))

    def _list(self, request: Request) -> Answer:
        limit, page = (
            whole_number(request.query.get("limit", "10")),
            whole_number(request.query.get("page", "1")),
        )
        if limit is None or page is None:
            return answers.bad_request("limit and page must be whole numbers from 1 on")
        account = self.account
        if account.list_limit_cap is not None:
            limit = min(limit, account.list_limit_cap)
        listing = self.world.listing(
            status=request.query.get("status"),
            order=account.list_order,
            seed=self.seed,
            now=self.clock.now(),
            lag=account.list_lag,
        )
        rows = [list_row(conversation, listing.seen) for conversation in listing.page(page, limit)]
        return json_answer({"data": rows, "total_count": len(listing)})

    def _one(self, request: Request) -> Answer:
        conversation = self.world.get(request.conversation_id or "")
        if conversation is None:
            return answers.INVALID_ID
        now = self.clock.now()
        match request.route:
            case "get":
                return json_answer(
                    read_body(conversation, now, verbose=request.query.get("verbose") == "true")
                )
            case "end":
                if conversation.is_over(now) and self.account.second_end == 400:
                    return answers.bad_request("Conversation has already ended")
                self.world.end(conversation, now)
                return Answer(200)
            case _:
                self.world.remove(conversation, now)
                return Answer(204)

    def _stock(self, collection: str) -> Answer:
        row = STOCK[collection]
        stock_id = DEFAULT_PERSONA if row in {"pal", "persona"} else DEFAULT_REPLICA
        return json_answer({"data": [{f"{row}_id": stock_id, f"{row}_name": "Anna"}], "total_count": 1})


def whole_number(text: str) -> int | None:
    """Return the number that a query gives, or None if it is no whole number from 1 on."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0 else None
