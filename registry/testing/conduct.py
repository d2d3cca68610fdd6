"""How a registry behaves towards everybody: slow by so many seconds, or taking nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.testing.layers import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True)
class Latency:
    """Every request waits before anything happens, as on a long line."""

    seconds: float

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        await asyncio.sleep(self.seconds)
        await app(scope, receive, send)


@dataclass(frozen=True)
class ReadOnly:
    """Only reading is done; the rest is told as a registry tells it where deletion is switched off."""

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        if scope["method"] in {"GET", "HEAD"}:
            await app(scope, receive, send)
            return
        message = "this registry takes nothing: it is read-only"
        await refuse(send, 405, "UNSUPPORTED", message, {"allow": "GET, HEAD", "connection": "close"})
