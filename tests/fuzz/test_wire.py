"""Odd requests to a real server on a real socket: the parser before the application has to stand them, too."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fuzz.requests import Generator, Request
from tests.server import Server, running_server
from tests.support.wire import assert_no_fault, log_lines

pytestmark = pytest.mark.anyio

SEED = 20261125
REQUESTS = 20_000
SECONDS_MAX = 30
CONNECTIONS = 64
ANSWER_SECONDS_MAX = 20
"""Longer than any answer takes, and than the server waits for a client that says nothing more."""
SETTINGS = {
    "REGISTRY_HTTP__BODY_IDLE_SECONDS_MAX": "0.2",
    "REGISTRY_HTTP__KEEP_ALIVE_SECONDS": "1",
    "REGISTRY_LOG__FORMAT": "json",
}
NOISE = [
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"\xff",
    b"HTTP/1.1",
    b"Transfer-Encoding: chunked\r\n",
    b"%00",
    b"9" * 30,
]


def on_the_wire(request: Request, chance: random.Random) -> bytes:
    """The request as bytes, with its body in one of the framings that there are."""
    path = request.path.encode("utf-8", "surrogateescape")
    target = path if chance.random() < 0.2 else quote(path, safe="/:@").encode()
    query = b"?" + request.query if request.query else b""
    lines = [b"%b %b%b HTTP/1.1" % (request.method.encode(), target, query), b"Host: registry.test"]
    lines += [
        b"%b: %b" % header for header in request.headers if header[0] not in {b"host", b"content-length"}
    ]
    body = b"".join(request.body)
    if chance.random() < 0.3:
        lines.append(b"Transfer-Encoding: chunked")
        body = (
            b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in request.body if piece) + b"0\r\n\r\n"
        )
    else:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def spoilt(raw: bytes, chance: random.Random) -> bytes:
    """The bytes with some of them changed, taken away, doubled or put in between; half of the time as they are."""
    for _ in range(chance.choice([0, 0, 0, 1, 1, 3])):
        at = chance.randrange(min(len(raw), 600)) if raw else 0
        size = chance.choice([1, 1, 2, 8, 40])
        part = raw[at : at + size]
        swapped = chance.choice([b"", part * 2, bytes([chance.randrange(256)]), chance.choice(NOISE) + part])
        raw = raw[:at] + swapped + raw[at + size :]
    return raw


async def answer_to(server: Server, raw: bytes) -> bytes:
    """The head of the first answer, empty where the server closes the connection without one."""
    host, _, port = server.host.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(raw)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


async def fuzz(server: Server, chance: random.Random) -> Counter[int]:
    """Send so many requests, or as many as there is time for; how often each status came, 0 for none."""
    make, statuses = Generator(chance), Counter[int]()
    deadline, numbers = time.monotonic() + SECONDS_MAX, itertools.count()

    async def send_some() -> None:
        while next(numbers) < REQUESTS and time.monotonic() < deadline:
            raw = spoilt(on_the_wire(make.request(), chance), chance)
            head = await answer_to(server, raw)
            assert not head or re.match(rb"HTTP/1\.1 [1-4]\d\d ", head), f"{head!r} to {raw[:2000]!r}"
            statuses[int(head[9:12] or b"0")] += 1
            if started := re.search(rb"\nlocation: (/v2/\S+/blobs/uploads/\S+)\r", head):
                make.uploads.append(started[1].decode())

    await asyncio.gather(*(send_some() for _ in range(CONNECTIONS)))
    return statuses


async def test_odd_requests_on_a_socket(tmp_path: Path) -> None:
    """Mutated requests, byte by byte, give no 5xx, no hang and no traceback, and leave the registry sound."""
    with running_server(tmp_path, SETTINGS) as server:
        statuses = await fuzz(server, random.Random(SEED))  # noqa: S311 (no secret)
    assert_no_fault(server.log)
    assert not [line for line in log_lines(server.log) if "exception" in line]
    assert "Traceback" not in server.log.read_text()
    assert statuses.keys() >= {200, 201, 202, 400, 404, 405}, statuses
    assert statuses.total() > 2000, statuses
