"""`/v2/<name>/blobs/<digest>` (end-2, end-10)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from registry.api.answer import Answer
from registry.api.body import ClientGone
from registry.api.caching import content_headers, is_unchanged, range_applies
from registry.api.client import client_address
from registry.api.headers import NO_SNIFFING
from registry.api.ranges import ByteRange, parse_range
from registry.oci.digest import Digest
from registry.operations import blobs

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from registry.api.body import Body
    from registry.api.call import Call
    from registry.api.headers import RawHeader
    from registry.operations.blobs import BlobReader

_OCTETS: Final = (b"content-type", b"application/octet-stream")
_RANGES: Final = (b"accept-ranges", b"bytes")

_ZERO_COPY: Final = "http.response.zerocopysend"
"""The ASGI extension by which a server lets the kernel send from a file. Our own server ends a connection that takes
nothing for `idle_seconds_max`."""
_COPIED_BYTES_MAX: Final = 64 * 1024
"""Up to here, to copy costs less than to ask the kernel."""


async def head(call: Call) -> Response:
    """200 with the size, 304, or 404 BLOB_UNKNOWN."""
    digest = Digest.parse(call.parameter)
    size = await blobs.size(call.registry, call.repository, digest)
    headers = _headers(digest)
    if is_unchanged(call.headers, digest):
        return Answer(304, headers)
    return Answer(200, [*headers, (b"content-length", b"%d" % size), _OCTETS])


async def get(call: Call) -> Response:
    """200 with the bytes, 206 with some of them, 304, 307 to where they are, 404 BLOB_UNKNOWN, or 416."""
    digest = Digest.parse(call.parameter)
    if is_unchanged(call.headers, digest):
        await blobs.size(call.registry, call.repository, digest)
        return Answer(304, _headers(digest))
    return BlobResponse(call, digest)


async def delete(call: Call) -> Response:
    """202; 404 BLOB_UNKNOWN; 405 UNSUPPORTED where deletion is off, or a manifest here still names the blob."""
    await blobs.delete(call.registry, call.repository, Digest.parse(call.parameter))
    return Response(status_code=202)


class BlobResponse(Response):
    """Sends a blob, or a part of it, piece by piece; the blob stays open while it does."""

    def __init__(self, call: Call, digest: Digest) -> None:
        self._call = call
        self._digest = digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the blob, and only then begin to answer."""
        call, digest = self._call, self._digest
        async with blobs.reader(call.registry, call.repository, digest) as blob:
            if call.registry.settings.redirect.anybody and (elsewhere := await _elsewhere(call, blob, scope)):
                await Answer(307, _redirect_headers(digest, elsewhere))(scope, receive, send)
                return
            asked = call.headers.get("range") if range_applies(call.headers, digest) else None
            part = parse_range(asked, blob.size)
            start = _start(digest, blob.size, part)
            part = part or ByteRange(0, blob.size)
            if (
                part.length > _COPIED_BYTES_MAX
                and blob.file is not None
                and _ZERO_COPY in scope.get("extensions", ())
            ):
                await send(start)
                await _send_by_kernel(blob.file, part, call.body, send)
                return
            # Read before the answer begins: a store that does not answer can still be told of.
            first = await blob.read(part.start, min(part.length, blobs.READ_BYTES))
            await send(start)
            if part.length <= blobs.READ_BYTES:
                await send(_piece(first, last=True))
            else:
                await _send_pieces(blob, part, first, call.body, send)


async def _send_by_kernel(file: int, part: ByteRange, body: Body, send: Send) -> None:
    where = {"file": file, "offset": part.start, "count": part.length}
    try:
        await send({"type": _ZERO_COPY, **where, "idle_seconds_max": body.idle_seconds_max})
    except (ConnectionError, TimeoutError):
        raise ClientGone from None


async def _send_pieces(blob: BlobReader, part: ByteRange, first: bytes, body: Body, send: Send) -> None:
    """No further than the client listens: containerd fetches in parts and hangs up on them."""
    end = part.start + part.length
    gone = asyncio.create_task(body.until_gone())
    try:
        for offset in range(part.start, end, blobs.READ_BYTES):
            content = first
            if offset > part.start:
                content = await blob.read(offset, min(blobs.READ_BYTES, end - offset))
            if gone.done():
                raise ClientGone
            async with asyncio.timeout(body.idle_seconds_max):
                await send(_piece(content, last=offset + blobs.READ_BYTES >= end))
    except TimeoutError:
        raise ClientGone from None  # it is connected and takes nothing
    finally:
        gone.cancel()


def _piece(content: bytes, *, last: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": content, "more_body": not last}


def _start(digest: Digest, size: int, part: ByteRange | None) -> dict[str, object]:
    headers = [*_headers(digest), _OCTETS]
    if part is not None:
        headers.append((b"content-range", part.content_range(size).encode("ascii")))
    headers.append((b"content-length", b"%d" % (part.length if part else size)))
    return {"type": "http.response.start", "status": 206 if part else 200, "headers": headers}


async def _elsewhere(call: Call, blob: BlobReader, scope: Scope) -> str | None:
    rules = call.registry.settings.redirect
    client = client_address(scope, call.headers, rules.trusted_proxies)
    return await blobs.redirect(call.registry, blob, client)


def _redirect_headers(digest: Digest, location: str) -> list[RawHeader]:
    # Not to be kept: the link is good for a while only, and only for who may read the blob here.
    return [
        (b"location", location.encode("latin-1")),
        (b"docker-content-digest", digest.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"content-length", b"0"),
    ]


def _headers(digest: Digest) -> list[RawHeader]:
    return [*content_headers(digest, immutable=True), _RANGES, NO_SNIFFING]
