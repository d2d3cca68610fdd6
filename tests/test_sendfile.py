"""Bytes from a file to a connection: all of them, in order, to whoever takes them."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from registry.sendfile import Part, send_file
from tests.storage.descriptors import open_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

CONTENT = os.urandom(3 * 1024 * 1024 + 7)
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
PATIENCE = 20.0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """Give the descriptor of a file larger than any socket's buffer."""
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a connection, ours and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)  # noqa: FBT003 - socket's own
        theirs.setblocking(False)  # noqa: FBT003
        yield ours, theirs


async def received(client: socket.socket, count: int) -> bytes:
    """So many bytes, as the client reads them."""
    loop, pieces, size = asyncio.get_running_loop(), [], 0
    while size < count:
        pieces.append(await loop.sock_recv(client, 256 * 1024))
        size += len(pieces[-1])
    return b"".join(pieces)


async def send(ours: socket.socket, part: Part, idle_seconds_max: float = PATIENCE) -> None:
    """Send the head and a part."""
    await send_file(ours.fileno(), HEAD, part, idle_seconds_max)


async def test_whole_file(ends: tuple[socket.socket, socket.socket], file: int) -> None:
    """The head arrives before the file, and every byte of it."""
    sending = asyncio.create_task(send(ends[0], Part(file, 0, len(CONTENT))))
    assert await received(ends[1], len(HEAD) + len(CONTENT)) == HEAD + CONTENT
    await sending


async def test_part_of_a_file(ends: tuple[socket.socket, socket.socket], file: int) -> None:
    """A part begins and ends where it was asked to."""
    sending = asyncio.create_task(send(ends[0], Part(file, 1000, 2_000_000)))
    assert await received(ends[1], len(HEAD) + 2_000_000) == HEAD + CONTENT[1000:2_001_000]
    await sending


async def test_slow_client(ends: tuple[socket.socket, socket.socket], file: int) -> None:
    """A client that takes a little at a time gets everything, however long the whole takes."""
    sending = asyncio.create_task(send(ends[0], Part(file, 0, len(CONTENT)), idle_seconds_max=0.5))
    pieces = []
    while sum(map(len, pieces)) < len(HEAD) + len(CONTENT):
        pieces.append(await received(ends[1], 1))
        await asyncio.sleep(0.02)
    assert b"".join(pieces) == HEAD + CONTENT
    await sending


async def test_client_that_takes_nothing(ends: tuple[socket.socket, socket.socket], file: int) -> None:
    """A client that takes nothing for too long is given up."""
    with pytest.raises(TimeoutError):
        await send(ends[0], Part(file, 0, len(CONTENT)), idle_seconds_max=0.1)


async def test_client_that_goes(ends: tuple[socket.socket, socket.socket], file: int) -> None:
    """A client that goes away in the middle ends the sending at once."""
    sending = asyncio.create_task(send(ends[0], Part(file, 0, len(CONTENT))))
    await received(ends[1], len(HEAD) + 1)
    ends[1].close()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(sending, PATIENCE)


async def test_shorter_file(ends: tuple[socket.socket, socket.socket], file: int) -> None:
    """A file that has fewer bytes than were announced is an error, not an endless wait."""
    sending = asyncio.create_task(send(ends[0], Part(file, len(CONTENT) - 5, 10)))
    assert await received(ends[1], len(HEAD) + 5) == HEAD + CONTENT[-5:]
    with pytest.raises(OSError, match="shorter"):
        await asyncio.wait_for(sending, PATIENCE)


async def test_cancelled(ends: tuple[socket.socket, socket.socket], file: int, tmp_path: Path) -> None:
    """Sending that is cancelled leaves no descriptor open, and the connection as it is."""
    before = len(os.listdir("/proc/self/fd"))
    sending = asyncio.create_task(send(ends[0], Part(file, 0, len(CONTENT))))
    await received(ends[1], len(HEAD) + 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(open_below(tmp_path)) == 1  # the file itself
    ends[1].getpeername()
