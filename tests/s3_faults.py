"""Stands between a registry and an S3 server, and does to requests what networks and services do.

A request may be answered 500, 503 SlowDown, 403 or 401, without having been done; its connection may be cut before it is
done; or it may be done and its answer lost, or cut in the middle.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

DENIALS: Final = ("forbids", "does not know who asks")
"""The bucket's client takes them as they are; who asked is told 503."""
_ANSWERS: Final = {
    "fails": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "is too busy": b"HTTP/1.1 503 Slow Down\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>",
    "forbids": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 48\r\n\r\n"
    b"<Error><Code>RequestTimeTooSkewed</Code></Error>",
    "does not know who asks": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
}
CUTS_THE_ANSWER: Final = "cuts the answer"
"""The bucket's client asks for the rest where it reads an object. After an answer to a list, to the beginning of a
multipart upload and to a deletion of several objects it does not: who asked is told 503."""
RETRIED: Final = ("fails", "is too busy", "cuts", "loses the answer")
"""After these it always tries again, so that nobody else hears of them."""
KINDS: Final = (*RETRIED, CUTS_THE_ANSWER, *DENIALS)
"""All."""


class FaultProxy:
    """Does harm of these kinds to a share of the requests; `done` counts what it did, by kind."""

    def __init__(self, target: str, share: float, kinds: Sequence[str]) -> None:
        self.share = share
        self.done = dict.fromkeys(kinds, 0)
        self._kinds = kinds
        self.endpoint = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._target = urlsplit(target)
        self._random = random.Random(7)  # noqa: S311 - the same faults in every run

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection of a client."""
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            await _close(writer)

    async def close(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        request = await _message(reader)
        kind = self._random.choice(self._kinds) if self._random.random() < self.share else None
        if kind is not None:
            self.done[kind] += 1
        if kind in _ANSWERS:
            writer.write(_ANSWERS[kind])
            await writer.drain()
            return True
        if kind == "cuts":
            return False
        answer = await self._forward(request)
        if kind == "loses the answer":
            return False
        writer.write(_half(answer) if kind == CUTS_THE_ANSWER else answer)
        await writer.drain()
        return kind is None

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader, is_head=request.startswith(b"HEAD "))
        finally:
            await _close(writer)


def _half(answer: bytes) -> bytes:
    """Its head and half of its body; not all of its head where it has no body."""
    head = answer.index(b"\r\n\r\n") + 4
    return answer[: (head + len(answer) - 1) // 2]


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _message(reader: asyncio.StreamReader, *, is_head: bool = False) -> bytes:
    """A whole request or answer, however its length is told."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if is_head or " 204 " in lines[0]:
        return head
    if headers.get("transfer-encoding") == "chunked":
        return head + await _chunks(reader)
    return head + await reader.readexactly(int(headers.get("content-length", 0)))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    read = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        read += line + await reader.readexactly(int(line, 16) + 2)
        if int(line, 16) == 0:
            return read


@asynccontextmanager
async def faulty(target: str, share: float, kinds: Sequence[str] = RETRIED) -> AsyncIterator[FaultProxy]:
    """A proxy on loopback in front of the endpoint `target`."""
    proxy = FaultProxy(target, share, kinds)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=2**20)
    async with server:
        proxy.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy
        server.close()
        await proxy.close()
