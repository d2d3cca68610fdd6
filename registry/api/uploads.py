"""`/v2/<name>/blobs/uploads/` (end-4a to 6, 11, 13, 14). Every Location is relative to the host.

An absolute one would have to guess how the client sees this server, and containerd drops its credentials where the
guess differs in host or scheme. It carries no state but the upload's id, so an old one works as well as the newest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from registry.oci.digest import CANONICAL, Digest, parse_algorithm
from registry.oci.errors import BlobUploadUnknown, DigestInvalid, NameInvalid
from registry.oci.names import RepositoryName
from registry.oci.ranges import ChunkRange
from registry.operations import uploads
from registry.operations.mounts import mount
from registry.operations.uploads import Session

if TYPE_CHECKING:
    from registry.api.call import Call

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


async def post(call: Call) -> Response:
    """202 with a new upload; 201 where the blob was mounted, or came with the request."""
    if (wanted := call.query.get("mount")) is not None:
        return await _mount_or_start(call, Digest.parse(wanted))
    if (given := call.query.get("digest")) is not None:
        digest = Digest.parse(given)
        await uploads.push(call.registry, call.repository, digest, aiter(call.body))
        return _created(call, digest)
    return await _start(call)


async def patch(call: Call) -> Response:
    """202 with the bytes so far; 416 where the chunk does not start at their end."""
    session = _session(call)
    size = await uploads.append(call.registry, session, _chunk(call), aiter(call.body))
    return Response(status_code=202, headers=progress_headers(session.repository, session.id, size))


async def put(call: Call) -> Response:
    """201 when all bytes hash to `digest`; 400 DIGEST_INVALID; 416 as for `patch`."""
    session = _session(call)
    given = call.query.get("digest")
    if given is None:
        raise DigestInvalid("the digest of the blob is missing: add it to the URL as digest=sha256:...")
    digest = Digest.parse(given)
    await uploads.finish(call.registry, session, digest, _chunk(call), aiter(call.body))
    return _created(call, digest)


async def get(call: Call) -> Response:
    """204 with the bytes so far."""
    session = _session(call)
    size = await uploads.status(call.registry, session)
    return Response(status_code=204, headers=progress_headers(session.repository, session.id, size))


async def delete(call: Call) -> Response:
    """204; the upload and its bytes are gone."""
    await uploads.cancel(call.registry, _session(call))
    return Response(status_code=204)


def progress_headers(repository: str, upload: str, size: int) -> dict[str, str]:
    """Where an upload is and how far it came; an empty one says `0-0`, since a range cannot say less."""
    return {
        "location": f"/v2/{repository}/blobs/uploads/{upload}",
        "range": f"0-{max(size - 1, 0)}",
        "docker-upload-uuid": upload,
    }


async def _mount_or_start(call: Call, digest: Digest) -> Response:
    try:
        source = call.query.get("from")
        repository = RepositoryName.parse(source) if source else None
    except NameInvalid:
        return await _start(call)  # no such repository can exist, so it has no such blob
    if await mount(call.registry, call.repository, digest, repository, call.principal):
        return _created(call, digest)
    return await _start(call)


async def _start(call: Call) -> Response:
    algorithm = parse_algorithm(call.query.get("digest-algorithm") or CANONICAL)
    session = await uploads.start(call.registry, call.repository, call.principal, algorithm)
    return Response(status_code=202, headers=progress_headers(session.repository, session.id, 0))


def _session(call: Call) -> Session:
    if _UPLOAD_ID.fullmatch(call.parameter) is None:
        raise BlobUploadUnknown(call.parameter)
    return Session(call.parameter, call.repository, call.principal)


def _chunk(call: Call) -> ChunkRange | None:
    given = call.headers.get("content-range")
    return None if given is None else ChunkRange.parse(given)


def _created(call: Call, digest: Digest) -> Response:
    location = f"/v2/{call.repository}/blobs/{digest}"
    return Response(status_code=201, headers={"location": location, "docker-content-digest": digest})
