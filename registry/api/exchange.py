"""An answer on its way out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

    from registry.api.body import Body

_API_VERSION: Final = (b"docker-distribution-api-version", b"registry/2.0")
_CLIENT_GONE: Final = 499
"""As nginx logs it: nobody was there to be answered."""


class Exchange:
    """Adds the headers that every answer has, counts its bytes, remembers its status.

    `gone`: the client did not wait for it. `hold_back_end`: the end is not passed on before the door says so.
    """

    def __init__(self, request_id: str, method: str, send: Send) -> None:
        self.request_id = request_id
        self.started_at = time.perf_counter()
        self.status = 0
        self.sent = 0
        self.gone = False
        self.hold_back_end = False
        self._head = method == "HEAD"  # whose body the server keeps to itself
        self._send = send

    def facts(self, scope: Scope, body: Body) -> dict[str, object]:
        """What the log tells of the request, now that it has ended."""
        return {
            "id": self.request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": _CLIENT_GONE if self.gone else self.status,
            "bytes_in": body.received,
            "bytes_out": self.sent,
            "seconds": round(time.perf_counter() - self.started_at, 6),
        }

    async def send(self, message: Message) -> None:
        """Pass the message on to the server."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] += [_API_VERSION, (b"x-request-id", self.request_id.encode("ascii"))]
        elif self.hold_back_end:
            message["more_body"] = True
        await self._send(message)
        if not self._head:
            self.sent += len(message.get("body", b"")) + message.get("count", 0)
