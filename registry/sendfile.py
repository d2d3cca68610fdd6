"""Bytes from a file to a connection without a way through this process (sendfile(2))."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from registry.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE_BYTES: Final = 4 * 1024 * 1024
"""More than a connection takes at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """`count` bytes of a file from `offset` on; `file` is its descriptor."""

    file: int
    offset: int
    count: int


async def send_file(connection: int, head: bytes, part: Part, idle_seconds_max: float) -> None:
    """Send `head`, then the part of a file; returns when the kernel has taken all of it.

    `connection`: a socket's descriptor that does not block, and to which nobody else writes meanwhile. ConnectionError
    where the other side is gone, TimeoutError where it takes nothing for so long, OSError where the file is shorter.
    """
    # Of its own: the loop already watches the other one, and closes it when the client hangs up.
    socket = os.dup(connection)
    try:
        while head:
            head = head[await _sent(socket, partial(os.write, socket, head), len(head), idle_seconds_max) :]
        offset, end = part.offset, part.offset + part.count
        while offset < end:
            most = min(end - offset, _PIECE_BYTES)
            send = partial(os.sendfile, socket, part.file, offset, most)
            offset += await _sent(socket, send, most, idle_seconds_max)
    finally:
        os.close(socket)


async def _sent(socket: int, send: Callable[[], int], most: int, idle_seconds_max: float) -> int:
    """What `send` has sent, run off the loop, since the file may have to be read from the disk.

    Where that is not all of it, the socket is full, and is waited for.
    """
    try:
        sent = await in_thread(None, send)
        if not sent:
            raise OSError("the file is shorter than it was")
    except BlockingIOError:
        sent = 0
    if sent < most:
        async with asyncio.timeout(idle_seconds_max):
            await _writable(socket)
    return sent


async def _writable(socket: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(socket, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(socket)
