"""A connection of the registry's own server, which can also be broken off."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import TYPE_CHECKING

from registry.protocol import Protocol

if TYPE_CHECKING:
    from starlette.types import Scope

_EXTENSION = "registry.testing.connection"
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_FLUSH_POLL_SECONDS = 0.001
_FLUSH_POLLS_MAX = 2000


def connection_of(scope: Scope) -> Connection:
    """The connection that brought the request in `scope`."""
    connection: Connection = scope["extensions"][_EXTENSION]
    return connection


class Connection(Protocol):
    """Puts itself into the scope of its requests, for those who want to spoil them."""

    _lost: asyncio.Future[None]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        self._lost = self.loop.create_future()
        super().connection_made(transport)
        self._extensions = {_EXTENSION: self}  # and none of the kernel's, past which no body can be spoilt

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._lost.set_result(None)

    async def close(self) -> None:
        """Send what was written, then end the connection in an orderly way (FIN)."""
        self.transport.close()
        await self._lost

    async def reset(self) -> None:
        """Send what was written, then break the connection (RST)."""
        await self._flush()
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED
        )
        self.transport.abort()
        await self._lost

    async def _flush(self) -> None:
        """Wait until the client's side has it all: a reset takes back what is still on its way."""
        file = self.transport.get_extra_info("socket").fileno()
        for _ in range(_FLUSH_POLLS_MAX):
            await asyncio.sleep(_FLUSH_POLL_SECONDS)
            unsent = fcntl.ioctl(file, termios.TIOCOUTQ, bytes(4)) if not self._lost.done() else bytes(4)
            if not int.from_bytes(unsent, sys.byteorder) and not self.transport.get_write_buffer_size():
                return
