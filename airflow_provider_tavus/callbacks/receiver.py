"""
The receiver of callbacks, an app in Airflow's API server.

Tavus cannot sign what it sends, so whoever knows the token in the URL can send anything. Nothing of it is believed: the
receiver takes an id out of the body, writes it down, and has somebody look at that conversation (see
``plugins/at_once.py``). What it may cost is bounded whatever comes.
"""

from __future__ import annotations

import hmac
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import mask_secret
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from airflow_provider_tavus.callbacks.bodies import Bodies, RefusedError, conversation_id_of
from airflow_provider_tavus.callbacks.journal_rows import append_to_journal
from airflow_provider_tavus.callbacks.journal_writer import JournalWriter
from airflow_provider_tavus.callbacks.metrics import count
from airflow_provider_tavus.callbacks.settings import CALLBACKS_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_provider_tavus.callbacks.settings import CallbackSettings

IN_ITS_PLACE = "***"
"""What a log shows in place of whatever follows :data:`~airflow_provider_tavus.callbacks.settings.CALLBACKS_PATH`."""

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is written down, or will be in a moment."},
    400: {"description": "The body is no JSON, or has no conversation_id."},
    404: {"description": "No such path: the token is another."},
    408: {"description": "The body did not come in time."},
    413: {"description": "The body is too large."},
    503: {"description": "Too many callbacks at once."},
}

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["conversation_id"],
                    "properties": {"conversation_id": {"type": "string"}},
                }
            }
        },
    }
}


def make_receiver(
    settings: CallbackSettings,
    write: Callable[[Sequence[str]], bool] | None = None,
    bodies: Bodies | None = None,
    look_at: Callable[[str], object] = lambda _: None,
) -> FastAPI:
    """
    Return the app.

    :param write: appends ids to the journal; default: that of the settings' asset in Airflow's database.
    :param bodies: reads bodies, within limits.
    :param look_at: is given the id of each callback, and returns at once.
    """
    bodies = bodies or Bodies()
    writer = JournalWriter(write or partial(append_to_journal, settings.asset), settings.asset)
    is_a_token = _comparison(settings.tokens)

    # Neither its documentation nor its schema: Airflow asks nobody who they are before an app of a plugin.
    app = FastAPI(
        title="Callbacks of Tavus",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(_Discretion)
    for token in settings.tokens:
        mask_secret(token)

    @app.post(f"{CALLBACKS_PATH}/{{token}}", responses=ANSWERS, openapi_extra=BODY)
    async def receive(token: str, request: Request) -> JSONResponse:
        if not is_a_token(token):
            # Before a byte of the body is read.
            return _refuse(404, "Not Found")
        try:
            body = await bodies.read(request.stream(), request.headers.get("content-length"))
        except RefusedError as refused:
            return _refuse(refused.status, refused.reason)
        except ClientDisconnect:
            return _refuse(400, "The body is cut off.")
        conversation_id = conversation_id_of(body)
        if conversation_id is None:
            return _refuse(400, "The body is no JSON, or has no conversation_id.")
        writer.add(conversation_id)
        look_at(conversation_id)
        count("tavus.callbacks.received")
        return JSONResponse({"status": "success"})

    return app


def _comparison(tokens: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells whether a text is one of these tokens, in a time that says nothing about them."""
    digests = [sha256(token.encode()).digest() for token in tokens]

    def is_one_of_them(text: str) -> bool:
        digest = sha256(text.encode("utf-8", "replace")).digest()
        # All of them, whichever it is.
        return sum(hmac.compare_digest(digest, one) for one in digests) > 0

    return is_one_of_them


def _refuse(status: int, reason: str) -> JSONResponse:
    count("tavus.callbacks.refused")
    # What has not been read of the body is not read for the sake of the next request.
    return JSONResponse({"detail": reason}, status, headers={"Connection": "close"})


class _Discretion:
    """
    Keeps the token out of what Airflow, around this app, logs and traces of a request.

    Airflow's log of requests has the path, which it takes from the request's scope when the answer is there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            inner = dict(scope)
            scope["path"] = f"{scope.get('root_path', '')}{CALLBACKS_PATH}/{IN_ITS_PLACE}"
            scope["raw_path"] = scope["path"].encode()
            scope["path_params"] = {}
            scope["query_string"] = b""
            scope = inner
        await self._app(scope, receive, send)
