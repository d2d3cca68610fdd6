"""A bare ASGI application: what uvicorn with uvloop and httptools can do at most when nothing is asked of it.

uvicorn bench.bare:app: `/v2/` gets two bytes, everything else an answer with the size and the headers of a manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_MANIFEST = b"{%s}" % (b" " * 1800)
_TYPE = b"application/vnd.oci.image.manifest.v1+json"
_DIGEST = b"sha256:" + b"0" * 64


def _start(body: bytes, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    length = (b"content-length", str(len(body)).encode())
    return {"type": "http.response.start", "status": 200, "headers": [length, *headers]}


_BASE = _start(b"{}", (b"content-type", b"application/json"))
_FOUND = _start(_MANIFEST, (b"content-type", _TYPE), (b"docker-content-digest", _DIGEST), (b"etag", _DIGEST))


async def app(scope: Any, _receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:  # noqa: ANN401
    """ASGI 3, requests only."""
    base = scope["path"] == "/v2/"
    await send(_BASE if base else _FOUND)
    body = b"" if scope["method"] == "HEAD" else b"{}" if base else _MANIFEST
    await send({"type": "http.response.body", "body": body})
