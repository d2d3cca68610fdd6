"""What stands between a client and the application, each a layer that may change what passes through it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

_WITHOUT_LENGTH = {204, 304}


class Layer(Protocol):
    """An ASGI application that is told at each request which other one it stands before."""

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, mostly by means of `app`."""
        ...


def wrapped(app: ASGIApp, layers: Iterable[Layer]) -> ASGIApp:
    """The application behind the layers, the last of which stands next to it."""
    for layer in reversed(list(layers)):
        app = partial(layer, app)
    return app


def header(scope: Scope, name: str) -> str | None:
    """The first header of this name in a request."""
    wanted = name.lower().encode("latin-1")
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), None)


async def refuse(send: Send, status: int, code: str, message: str, headers: Mapping[str, str]) -> None:
    """Answer with an error in the specification's form (spec.md, Error Codes)."""
    document = {"errors": [{"code": code, "message": message}]}
    await answer_json(send, status, document, headers)


async def answer_json(send: Send, status: int, document: dict[str, Any], headers: Mapping[str, str]) -> None:
    """Answer with a JSON document."""
    content = json.dumps(document).encode()
    told = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    await _answer(send, status, content, told)


async def answer_empty(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Answer without a body (RFC 9110, 8.6: some statuses have not even a length)."""
    length = {} if status in _WITHOUT_LENGTH else {"content-length": "0"}
    await _answer(send, status, b"", length | {**headers})


async def _answer(send: Send, status: int, content: bytes, headers: Mapping[str, str]) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content, "more_body": False})
