"""The calls of https://docs.tavus.io/api-reference as the box answers them: a request in, an answer out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_tavus.testing import answers, create
from airflow_provider_tavus.testing.answers import Answer, json_answer
from airflow_provider_tavus.testing.bodies import create_body, list_row, read_body
from airflow_provider_tavus.testing.conversation import DEFAULT_PERSONA, DEFAULT_REPLICA, Conversation
from airflow_provider_tavus.testing.routes import STOCK
from airflow_provider_tavus.testing.script import Script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_tavus.testing.account import Account
    from airflow_provider_tavus.testing.clocks import Clock
    from airflow_provider_tavus.testing.listing import ListView
    from airflow_provider_tavus.testing.routes import Route
    from airflow_provider_tavus.testing.world import World


@dataclass(frozen=True)
class Request:
    """
    A request, as far as the service looks at it.

    :param route: which call it is.
    :param list_view: how a list call sees the conversations; as the account says if not given.
    """

    route: Route
    query: Mapping[str, str]
    body: bytes = b""
    list_view: ListView | None = None


class Service:
    """Answers the calls from what the world is at that moment."""

    def __init__(self, world: World, account: Account, clock: Clock, seed: int = 0) -> None:
        self.world = world
        self.account = account
        self.clock = clock
        self._luck = random.Random(f"tokens {seed}")  # noqa: S311 - the tokens open no door

    def answer(self, request: Request, api_key: str | None) -> Answer:
        """Do what a request asks for, and return the answer."""
        if api_key != self.account.api_key:
            return answers.INVALID_KEY
        match request.route.name:
            case "create":
                return self._create(request)
            case "list":
                return self._list(request)
            case "get" | "end" | "delete":
                return self._one(request)
            case "method_not_allowed":
                return answers.method_not_allowed(request.route.allowed)
            case stock if stock in STOCK:
                return self._stock(stock)
            case _:
                return answers.NOT_FOUND

    def _create(self, request: Request) -> Answer:
        try:
            body = create.parsed(request.body)
        except ValueError as error:
            return answers.bad_request(str(error))
        account, now = self.account, self.clock.now()
        if account.credits is not None and account.credits <= 0:
            return answers.OUT_OF_CREDITS
        limit = account.concurrency_limit
        if limit is not None and len(self.world.active(now)) >= limit:
            return answers.TOO_MANY_CONVERSATIONS
        if account.credits is not None:
            account.credits -= 1
        script = Script.test_mode() if body.get("test_mode") else create.limited(account.on_create(body), body)
        conversation = Conversation(
            conversation_id=self.world.new_id(),
            script=script,
            created_at=now,
            name=body.get("conversation_name"),
            callback_url=body.get("callback_url") or "",
            replica_id=body.get("face_id") or body.get("replica_id") or DEFAULT_REPLICA,
            persona_id=body.get("pal_id") or body.get("persona_id") or DEFAULT_PERSONA,
        )
        self.world.put(conversation)
        token = f"fake.{self._luck.getrandbits(128):032x}.token" if body.get("require_auth") else None
        return json_answer(create_body(conversation, now, meeting_token=token))

    def _list(self, request: Request) -> Answer:
        limit, page = (
            whole_number(request.query.get(name, default)) for name, default in (("limit", "10"), ("page", "1"))
        )
        if limit is None or page is None:
            return answers.bad_request("limit and page must be whole numbers from 1 on")
        view, now = request.list_view or self.account.list_view, self.clock.now()
        if view.limit_cap is not None:
            limit = min(limit, view.limit_cap)
        listing = self.world.listing(view, request.query.get("status"), now)
        rows = [list_row(conversation, now - view.lag) for conversation in listing.page(page, limit)]
        return json_answer({"data": rows, "total_count": len(listing)})

    def _one(self, request: Request) -> Answer:
        conversation, now = self.world.get(request.route.conversation_id or ""), self.clock.now()
        if conversation is None or conversation.created_at > now:
            return answers.INVALID_ID
        match request.route.name:
            case "get":
                verbose = request.query.get("verbose") == "true"
                return json_answer(read_body(conversation, now, verbose=verbose))
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
