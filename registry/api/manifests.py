"""`/v2/<name>/manifests/<reference>` (end-3, 7a, 7b, 9). What Accept says is not asked: nothing is ever converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from registry.api.answer import Answer
from registry.api.caching import content_headers, is_unchanged
from registry.api.headers import NO_SNIFFING
from registry.oci.digest import Digest
from registry.oci.errors import ManifestTooLarge
from registry.oci.manifest import Manifest
from registry.oci.names import Tag, parse_reference
from registry.operations import manifests
from registry.threads import in_thread

if TYPE_CHECKING:
    from registry.api.call import Call

_PARSED_INLINE_BYTES_MAX: Final = 64 * 1024
"""Parsing takes some 30 ns a byte: 4 MiB in place would keep everybody waiting for more than 100 ms."""


async def get(call: Call) -> Response:
    """200 with the exact bytes as pushed, 304, or 404 MANIFEST_UNKNOWN; HEAD is the same without the bytes."""
    reference = parse_reference(call.parameter)
    found = await manifests.get(call.registry, call.repository, reference, head=call.method == "HEAD")
    headers = content_headers(found.digest, immutable=isinstance(reference, Digest))
    if is_unchanged(call.headers, found.digest):
        return Answer(304, headers)
    headers += [
        (b"content-type", found.media_type.encode("latin-1")),
        (b"content-length", b"%d" % found.size),
        NO_SNIFFING,
    ]
    return Answer(200, headers, found.content or b"")


async def put(call: Call) -> Response:
    """201; 400 MANIFEST_INVALID, DIGEST_INVALID or MANIFEST_BLOB_UNKNOWN; 413."""
    reference = parse_reference(call.parameter)
    tags = [Tag.parse(tag) for tag in call.query.all("tag")] if isinstance(reference, Digest) else []
    manifest = await _parsed(await _content(call), call.headers.get("content-type"))
    push = await manifests.put(call.registry, call.repository, reference, manifest, tags)
    response = Response(status_code=201)
    response.headers["location"] = f"/v2/{call.repository}/manifests/{push.digest}"
    response.headers["docker-content-digest"] = push.digest
    if manifest.subject is not None:
        response.headers["oci-subject"] = manifest.subject.digest
    for tag in push.tags if tags else ():
        response.headers.append("oci-tag", tag)
    return response


async def delete(call: Call) -> Response:
    """202; 404 MANIFEST_UNKNOWN; 405 UNSUPPORTED where deletion is off."""
    await manifests.delete(call.registry, call.repository, parse_reference(call.parameter))
    return Response(status_code=202)


async def _parsed(content: bytes, content_type: str | None) -> Manifest:
    if len(content) <= _PARSED_INLINE_BYTES_MAX:
        return Manifest.parse(content, content_type)
    return await in_thread(None, Manifest.parse, content, content_type)


async def _content(call: Call) -> bytes:
    bytes_max = call.registry.settings.manifest_bytes_max
    announced = call.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise ManifestTooLarge(bytes_max)
    content = await call.body.read(bytes_max)
    if content is None:
        raise ManifestTooLarge(bytes_max)
    return content
