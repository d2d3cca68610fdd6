"""Writes down every request and what became of it, as the client saw it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from registry.testing.connection import connection_of
from registry.testing.requests import BODY_BYTES_MAX, Request, Requests
from registry.testing.targets import Target

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EXTENSION = "registry.testing.request"


def request_of(scope: Scope) -> Request:
    """The record of the request in `scope`."""
    request: Request = scope["extensions"][_EXTENSION]
    return request


class Recorder:
    """The outermost layer."""

    def __init__(self) -> None:
        self.requests = Requests()

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        request, length = _request(scope), None
        connection = connection_of(scope)
        self.requests.add(request)
        scope = {**scope, "extensions": {**scope["extensions"], _EXTENSION: request}}

        async def receive_and_count() -> Message:
            message = await receive()
            body = message.get("body", b"")
            request.bytes_in += len(body)
            request.body += body[: BODY_BYTES_MAX - len(request.body)]
            return message

        async def send_and_count(message: Message) -> None:
            nonlocal length
            # Noted first: the client may look at the record as soon as it has the answer.
            if message["type"] == "http.response.start":
                request.status = message["status"]
                length = _length(request.method, message["headers"])
            elif not connection.is_gone:
                request.bytes_out += 0 if request.method == "HEAD" else len(message.get("body", b""))
                request.complete = not message.get("more_body", False) or request.bytes_out == length
            await send(message)

        try:
            await app(scope, receive_and_count, send_and_count)
        except asyncio.CancelledError:
            return  # the registry stops while a client still waits; its connection is gone already


def _length(method: str, headers: list[tuple[bytes, bytes]]) -> int | None:
    """How many bytes make the answer whole, before its end is formally declared; None where that is not said."""
    if method == "HEAD":
        return 0
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), None)


def _request(scope: Scope) -> Request:
    query = scope["query_string"].decode("latin-1")
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    return Request(Target.of(scope["method"], scope["path"], query), query, headers)
