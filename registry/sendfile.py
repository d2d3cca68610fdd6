"""Bytes from a file to a connection without a way through this process (sendfile(2))."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from registry.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE_BYTES: Final = 4 * 1024 * 1024
"""More than a connection takes at once."""


async def send_file(connection: int, head: bytes, file: int, offset: int, count: int) -> None:
    """Send `head`, then `count` bytes of `file` from `offset` on; returns when the kernel has taken them all.

    `connection`: a socket's descriptor that does not block and that nobody else writes to meanwhile. OSError where it
    is gone, or the file is shorter.
    """
    # Of its own: the loop already watches the other one, and closes it when the client hangs up.
    socket = os.dup(connection)
    try:
        while head:
            head = head[await _when_writable(socket, partial(os.write, socket, head)) :]
        end = offset + count
        while offset < end:
            most = min(end - offset, _PIECE_BYTES)
            sent = await _when_writable(socket, partial(os.sendfile, socket, file, offset, most))
            if not sent:
                raise OSError(f"the file ends at {offset} bytes, not at {end}")
            offset += sent
    finally:
        os.close(socket)


async def _when_writable(socket: int, send: Callable[[], int]) -> int:
    """What `send` has sent, run off the loop: the file may have to be read from the disk."""
    while True:
        try:
            return await in_thread(None, send)
        except BlockingIOError:
            await _writable(socket)


async def _writable(socket: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(socket, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(socket)
