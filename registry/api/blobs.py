"""`/v2/<name>/blobs/<digest>` (end-2, end-10)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from registry.api.body import ClientGone
from registry.api.caching import content_headers, is_unchanged, range_applies
from registry.api.ranges import ByteRange, parse_range
from registry.oci.digest import Digest
from registry.operations import blobs

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from registry.api.body import Body
    from registry.api.call import Call
    from registry.operations.blobs import BlobReader

OCTETS = "application/octet-stream"


async def head(call: Call) -> Response:
    """200 with the size, 304, or 404 BLOB_UNKNOWN."""
    digest = Digest.parse(call.parameter)
    size = await blobs.size(call.registry, call.repository, digest)
    headers = _headers(digest)
    if is_unchanged(call.headers, digest):
        return Response(status_code=304, headers=headers)
    return Response(headers=headers | {"content-length": str(size), "content-type": OCTETS})


async def get(call: Call) -> Response:
    """200 with the bytes, 206 with some of them, 304, 404 BLOB_UNKNOWN, or 416."""
    digest = Digest.parse(call.parameter)
    if is_unchanged(call.headers, digest):
        await blobs.size(call.registry, call.repository, digest)
        return Response(status_code=304, headers=_headers(digest))
    return BlobResponse(call, digest)


async def delete(call: Call) -> Response:
    """202; 404 BLOB_UNKNOWN; 405 UNSUPPORTED where deletion is off, or a manifest here still names the blob."""
    await blobs.delete(call.registry, call.repository, Digest.parse(call.parameter))
    return Response(status_code=202)


class BlobResponse(Response):
    """Sends a blob, or a part of it, piece by piece; the blob stays open while it does."""

    def __init__(self, call: Call, digest: Digest) -> None:
        super().__init__()
        self._call = call
        self._digest = digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the blob, and only then begin to answer."""
        del scope, receive
        call, digest = self._call, self._digest
        async with blobs.reader(call.registry, call.repository, digest) as blob:
            asked = call.headers.get("range") if range_applies(call.headers, digest) else None
            part = parse_range(asked, blob.size)
            await send(_start(digest, blob.size, part))
            await _send_part(blob, part or ByteRange(0, blob.size), call.body, send)


async def _send_part(blob: BlobReader, part: ByteRange, body: Body, send: Send) -> None:
    """Piece by piece, and no further than the client listens: containerd fetches in parts and hangs up on them."""
    end = part.start + part.length
    gone = asyncio.create_task(body.until_gone()) if part.length > blobs.READ_BYTES else None
    try:
        for offset in range(part.start, end, blobs.READ_BYTES):
            piece = await blob.read(offset, min(blobs.READ_BYTES, end - offset))
            if gone and gone.done():
                raise ClientGone
            async with asyncio.timeout(body.idle_seconds_max):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        raise ClientGone from None  # it is connected and takes nothing
    finally:
        if gone:
            gone.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _start(digest: Digest, size: int, part: ByteRange | None) -> dict[str, object]:
    headers = _headers(digest) | {"content-type": OCTETS}
    if part is not None:
        headers["content-range"] = part.content_range(size)
    headers["content-length"] = str(part.length if part else size)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 206 if part else 200, "headers": raw}


def _headers(digest: Digest) -> dict[str, str]:
    # nosniff: what somebody pushed must not become a page of this host in somebody's browser.
    return content_headers(digest, immutable=True) | {
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
    }
