"""The box's own interface under ``/_box/``, by which another process steers and counts."""

from __future__ import annotations

import ipaddress
import itertools
import json
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from aiohttp import web

from airflow_provider_tavus.testing.answers import Answer, bad_request, json_answer
from airflow_provider_tavus.testing.listing import ListView
from airflow_provider_tavus.testing.openapi import document
from airflow_provider_tavus.testing.script_json import script_from_json

if TYPE_CHECKING:
    from airflow_provider_tavus.testing.account import Account
    from airflow_provider_tavus.testing.box import TavusBox
    from airflow_provider_tavus.testing.callbacks import CallbackHabits
    from airflow_provider_tavus.testing.troubles import Trouble

FILTERS = {"route": str, "conversation_id": str, "status": int, "method": str, "since": float, "until": float}
UNKNOWN = json_answer({"error": "The box has no such control"}, 404)


class Admin:
    """
    Answers ``/_box/`` for a box.

    :param open_to_all: answer clients of other machines, too. They can do anything to the box.
    """

    def __init__(self, box: TavusBox, *, open_to_all: bool) -> None:
        self._box = box
        self._open_to_all = open_to_all
        self._numbers = itertools.count(1)
        self._troubles: dict[str, Trouble] = {}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a request under ``/_box/``."""
        answer = self._refusal(request)
        if answer is None:
            body = await request.content.read()
            try:
                answer = self._answer(request, json.loads(body) if body else {})
            except (ValueError, TypeError, AttributeError) as error:
                answer = bad_request(str(error))
            except KeyError as error:
                answer = bad_request(f"there is no {error}")
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    def _refusal(self, request: web.BaseRequest) -> Answer | None:
        remote = ipaddress.ip_address((request.remote or "0.0.0.0").split("%")[0])  # noqa: S104 - an unknown peer
        if not remote.is_loopback and not self._open_to_all:
            return json_answer({"error": "The box is steered from its own machine only"}, 403)
        # A web page could make a browser of this machine POST here, but not with this type, unasked.
        if request.can_read_body and request.content_type != "application/json":
            return json_answer({"error": "Send application/json"}, 415)
        return None

    def _answer(self, request: web.BaseRequest, body: Any) -> Answer:
        match request.method, request.path.removeprefix("/_box").strip("/").split("/"):
            case "GET", [""]:
                return json_answer({"now": self._box.clock.now(), "conversations": len(self._box.world)})
            case "GET", ["openapi.json"]:
                return json_answer(document())
            case "GET", ["requests"]:
                return self._requests(request)
            case "DELETE", ["requests"]:
                self._box.forget_requests()
            case "POST", ["clock"]:
                return json_answer({"now": self._box.advance(float(body["advance"]))})
            case method, ["conversations", *path]:
                return self._conversations(method, path, body)
            case method, ["troubles", *path]:
                return self._trouble(method, path, body)
            case method, ["callbacks" | "account" as settings]:
                return self._settings(method, settings, body)
            case _:
                return UNKNOWN
        return Answer(204)

    def _requests(self, request: web.BaseRequest) -> Answer:
        which = {name: FILTERS[name](text) for name, text in request.query.items()}
        requests = self._box.requests_of(**which)
        return json_answer({"count": len(requests), "requests": [record.as_json() for record in requests]})

    def _conversations(self, method: str, path: list[str], body: Any) -> Answer:
        match method, path:
            case "POST", []:
                script = script_from_json(body.pop("script", None))
                return json_answer({"conversation_id": self._box.add(script, **body)}, 201)
            case "PUT", [conversation_id, "raw"]:
                self._box.put_raw(conversation_id, body)
            case "POST", [conversation_id, "end"]:
                self._box.end(conversation_id)
            case "DELETE", [conversation_id]:
                self._box.remove(conversation_id)
            case _:
                return UNKNOWN
        return Answer(204)

    def _trouble(self, method: str, path: list[str], body: Any) -> Answer:
        match method, path:
            case "POST", []:
                if body.get("kind") == "refuse" and body.get("lasting") is None:
                    return bad_request("say how long it is lasting: nothing could stop it from outside")
                trouble_id = str(next(self._numbers))
                self._troubles[trouble_id] = self._box.trouble(**body)
                return json_answer({"trouble_id": trouble_id}, 201)
            case "GET", [trouble_id]:
                return json_answer({"happened": self._troubles[trouble_id].happened})
            case "DELETE", []:
                self._box.stop_troubles()
            case "DELETE", [trouble_id]:
                self._troubles[trouble_id].stop()
            case _:
                return UNKNOWN
        return Answer(204)

    def _settings(self, method: str, settings: str, body: Any) -> Answer:
        match method, settings:
            case "GET", "callbacks":
                sent = self._box.callbacks_sent
                return json_answer({"callbacks": [delivery.as_json() for delivery in sent]})
            case "PATCH", "callbacks":
                _set(self._box.callbacks, body)
            case "PATCH", "account":
                made: dict[str, Any] = {}
                if "list_view" in body:
                    made["list_view"] = ListView(**body.pop("list_view"))
                if "on_create" in body:
                    script = script_from_json(body.pop("on_create"))
                    made["on_create"] = lambda _: script
                _set(self._box.account, body)
                vars(self._box.account).update(made)
            case _:
                return UNKNOWN
        return Answer(204)


def _set(settings: Account | CallbackHabits, changes: Any) -> None:
    if unknown := set(changes) - set(vars(settings)):
        raise ValueError(f"there is no {', '.join(sorted(unknown))} to set")
    kinds = get_type_hints(type(settings))
    # All of them before any is set. One of another type would break the box much later.
    vars(settings).update({name: _of_kind(kinds[name], name, setting) for name, setting in changes.items()})


def _of_kind(kind: Any, name: str, setting: Any) -> Any:
    try:
        return msgspec.convert(setting, kind)
    except msgspec.ValidationError as fault:
        raise ValueError(f"{name}: {fault}") from None
