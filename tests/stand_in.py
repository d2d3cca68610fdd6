"""A stand-in for `registry.app`, and a way to serve it in a process of its own: `python -m tests.stand_in CONFIG`.

It answers every request, once its whole body has come, with what it knows about it; /long is a long answer, /busy keeps the server busy.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from registry.config import Config
from registry.server import serve

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

LONG_BYTES = 32 * 1024 * 1024
"""The length of what is at /long: more than lies between a server and a client that does not read."""


def build(config: Config) -> Application:
    """Build the application; STAND_IN_FAULT=build or =start says where it is to fail."""
    assert isinstance(config, Config)
    if os.environ.get("STAND_IN_FAULT") == "build":
        raise RuntimeError("the stand-in was told not to be built")
    return answer


async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer one request, or the server's start and stop."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/busy":
        for _ in range(20):
            time.sleep(0.05)  # noqa: ASYNC251 - holds up whatever else the server has to do
            await asyncio.sleep(0)
    if scope["path"] == "/long":
        await _send(send, bytes(LONG_BYTES // 2), bytes(LONG_BYTES // 2))
        return
    body = json.dumps({"pid": os.getpid(), "scheme": scope["scheme"], "bytes": size})
    await _send(send, body.encode())


async def _send(send: Send, *pieces: bytes) -> None:
    headers = [(b"content-length", str(sum(map(len, pieces))).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    if os.environ.get("STAND_IN_FAULT") == "start":
        await send({"type": "lifespan.startup.failed", "message": "the stand-in was told not to start"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    sys.exit(serve(Config.model_validate_json(sys.argv[1]), "tests.stand_in"))
