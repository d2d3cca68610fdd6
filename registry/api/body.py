"""The body of a request, counted while it arrives; its announced length is never relied on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from registry.oci.errors import RequestTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive

_LEAST_BYTES: Final = 256 * 1024
"""Who sends a byte now and then keeps others from sending; an old telephone line sends as much in a minute."""
_DRAIN_BYTES_MAX: Final = 64 * 1024 * 1024
_DRAIN_SECONDS_MAX: Final = 5.0


class ClientGone(Exception):
    """The connection ended before the request did."""


class Body:
    """Read it by iterating, once.

    `received`: bytes so far; `finished`: nothing more will come; `idle_seconds_max`: how long a client may do nothing,
    and how long it may be waited for, in all, until it has sent the next 256 KiB, or the end.
    """

    def __init__(self, receive: Receive, idle_seconds_max: float) -> None:
        self._receive = receive
        self.idle_seconds_max = idle_seconds_max
        self.received = 0
        # For the client: the time that the registry takes to write is not the client's.
        self._waited_seconds = 0.0
        self._due = _LEAST_BYTES
        self.finished = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive; ClientGone or RequestTimeout where they stop arriving."""
        while not self.finished:
            piece = await self._next()
            if piece:
                yield piece

    async def read(self, bytes_max: int) -> bytes | None:
        """All of it, None as soon as it turns out to be longer than `bytes_max`."""
        pieces = []
        async for piece in self:
            if self.received > bytes_max:
                return None
            pieces.append(piece)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Take and forget the rest, within limits.

        A client that is still sending reads our answer only when it is done or notices; a connection closed before
        that may take the answer with it.
        """
        most = self.received + _DRAIN_BYTES_MAX
        try:
            async with asyncio.timeout(_DRAIN_SECONDS_MAX):
                while not self.finished and self.received < most:
                    await self._next()
        except (TimeoutError, ClientGone, RequestTimeout):
            return

    async def until_gone(self) -> None:
        """Return when the client has gone; for answers that take long, since sending to nobody raises nothing."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> bytes:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.idle_seconds_max - self._waited_seconds):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout(
                f"nothing, or less than 256 KiB, was sent in {self.idle_seconds_max:g} seconds"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.finished = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self.received += len(piece)
        self._waited_seconds += time.monotonic() - began
        if self.received >= self._due:
            self._waited_seconds, self._due = 0.0, self.received + _LEAST_BYTES
        return piece
