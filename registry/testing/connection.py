"""A connection of the registry's own server, which can also be broken off."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from registry.protocol import Protocol

if TYPE_CHECKING:
    from starlette.types import Scope

_EXTENSION = "registry.testing.connection"
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_FLUSH_POLL_SECONDS = 0.001
_FLUSH_POLLS_MAX = 2000
_DRAIN_SECONDS_MAX = 1.0
_CLOSE_SECONDS_MAX = 0.2


def connection_of(scope: Scope) -> Connection:
    """The connection that brought the request in `scope`."""
    connection: Connection = scope["extensions"][_EXTENSION]
    return connection


class Connection(Protocol):
    """Puts itself into the scope of its requests, for those who want to spoil them.

    A client may go at any moment: to end a connection that is gone already is no error.
    """

    _draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        self._lost = asyncio.Event()
        super().connection_made(transport)
        self._extensions = {_EXTENSION: self}  # and none of the kernel's, past which no body can be spoilt

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._lost.set()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self._draining:
            super().data_received(data)

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._lost.is_set() or self.transport.is_closing()

    async def close(self) -> None:
        """Send what was written, then end the connection in an orderly way (FIN).

        What the client still sends is taken for a moment: unread, it would make a reset of the end.
        """
        self._draining = True
        self.flow.resume_reading()
        if not self.is_gone and self.transport.can_write_eof():
            self.transport.write_eof()
            await self._wait_until_lost(_DRAIN_SECONDS_MAX)
        self.transport.close()
        await self._wait_until_lost(_CLOSE_SECONDS_MAX)  # TLS waits for the client to say goodbye
        self.transport.abort()
        await self._lost.wait()

    async def reset(self) -> None:
        """Send what was written, then break the connection (RST)."""
        await self._flush()
        with suppress(OSError, ValueError):
            if not self.is_gone:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
        self.transport.abort()
        await self._lost.wait()

    @property
    def _socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found

    async def _wait_until_lost(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._lost.wait(), seconds)

    async def _flush(self) -> None:
        """Wait until the client's side has it all: a reset takes back what is still on its way."""
        for _ in range(_FLUSH_POLLS_MAX):
            await asyncio.sleep(_FLUSH_POLL_SECONDS)
            if self.is_gone or not (self._unsent() or self.transport.get_write_buffer_size()):
                return

    def _unsent(self) -> int:
        """Bytes in the kernel that the client's side has not acknowledged."""
        try:
            answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return 0
        return int.from_bytes(answer, sys.byteorder)
