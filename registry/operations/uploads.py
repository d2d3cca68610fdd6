"""Uploads: from the first byte that a client sends to a blob that the repository may see (spec.md, Pushing blobs).

The bytes are staged in the store under the upload's id, and held by one request at a time; how many of them were
acknowledged stands in the upload's row, which is read again once they are held. What lies behind that size was never
acknowledged, and is cut away before anything is appended.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.db import blobs, repositories, uploads
from registry.db.uploads import Upload
from registry.oci.digest import CANONICAL
from registry.oci.errors import BlobUploadUnknown, DigestMismatch, SizeInvalid, UploadBusy, UploadOutOfOrder
from registry.operations.hashing import RunningHash
from registry.operations.pouring import pour
from registry.storage.contract import StagedBusy, StagedBytesLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.db.database import Connection
    from registry.oci.access import Principal
    from registry.oci.digest import Digest
    from registry.oci.names import RepositoryName
    from registry.oci.ranges import ChunkRange
    from registry.operations.registry import Registry
    from registry.storage.contract import Staged

_BUSY_SECONDS_MAX: Final = 2.0
"""A client that goes on after a cut connection may be faster than our notice that the old one is gone."""
_BUSY_POLL_SECONDS: Final = 0.05
_CHECKPOINT_SECONDS: Final = 10.0
"""How often the row learns of bytes that are still arriving: that keeps a slow upload from being purged, and lets it
go on from there after the server was killed."""


@dataclass(frozen=True, slots=True)
class Session:
    """An upload as a client names it: the id means nothing without the repository and the principal."""

    id: str
    repository: RepositoryName
    principal: Principal


async def start(
    registry: Registry, repository: RepositoryName, principal: Principal, algorithm: str = CANONICAL
) -> Session:
    """A new upload; `algorithm` is that of the digest which the client will probably give (end-4a, end-4c)."""
    session = Session(_new_id(), repository, principal)
    upload = Upload(session.id, 0, algorithm)
    await registry.database.write_soon(uploads.start, upload, repository, str(principal))
    return session


async def status(registry: Registry, session: Session) -> int:
    """How many bytes were acknowledged (end-13)."""
    return (await _find(registry, session)).size


async def append(
    registry: Registry, session: Session, chunk: ChunkRange | None, body: AsyncIterator[bytes]
) -> int:
    """Take more bytes, and say how many there are now (end-5)."""
    async with _hold(registry, session) as (staged, upload):
        _require_order(upload, chunk)
        running = await registry.hashes.take(upload.id, upload.algorithm, upload.size, staged.read())
        await _receive(registry, upload, chunk, _Pouring(body, staged, running))
        if not await registry.database.write_soon(uploads.resize, upload.id, staged.size):
            raise BlobUploadUnknown(upload.id)
        registry.hashes.keep(upload.id, running)
        return staged.size


async def finish(
    registry: Registry, session: Session, digest: Digest, chunk: ChunkRange | None, body: AsyncIterator[bytes]
) -> None:
    """Take the last bytes, if any; when they hash to `digest`, they are a blob of the repository (end-6)."""
    async with _hold(registry, session) as (staged, upload):
        _require_order(upload, chunk)
        running = await registry.hashes.take(upload.id, digest.algorithm, upload.size, staged.read())
        await _receive(registry, upload, chunk, _Pouring(body, staged, running))
        try:
            _require_match(running, digest)
        except DigestMismatch:
            await registry.database.write_soon(uploads.resize, upload.id, upload.size)
            raise
        await _publish(registry, session.repository, upload.id, staged, digest)


async def push(
    registry: Registry, repository: RepositoryName, digest: Digest, body: AsyncIterator[bytes]
) -> None:
    """A whole blob in one request (end-4b): an upload that nobody can ask for, so that it needs no row."""
    upload_id = _new_id()
    running = RunningHash(digest.algorithm)
    try:
        async with registry.store.stage(upload_id) as staged:
            await pour(body, staged, running, _no_checkpoint)
            _require_match(running, digest)
            await _publish(registry, repository, upload_id, staged, digest)
    except Exception:
        await discard(registry, upload_id)
        raise


async def cancel(registry: Registry, session: Session) -> None:
    """Forget the upload and its bytes (end-14)."""
    await _find(registry, session)
    try:
        async with registry.store.stage(session.id) as staged:
            await _find(registry, session)
            await staged.cut(0)  # first: on a full disk only this makes the room that the database needs
            await registry.database.write_soon(uploads.end, session.id)
    except StagedBusy:  # whoever writes to it finds the row gone at the end
        await registry.database.write_soon(uploads.end, session.id)
    await discard(registry, session.id)


async def discard(registry: Registry, upload_id: str) -> None:
    """Forget what is staged; where a request still writes to it, `purge` comes back later."""
    registry.hashes.forget(upload_id)
    try:
        await registry.store.discard(upload_id)
    except StagedBusy:
        return


async def _find(registry: Registry, session: Session) -> Upload:
    upload = await registry.database.look(
        uploads.find, session.id, session.repository, str(session.principal)
    )
    if upload is None:
        raise BlobUploadUnknown(session.id)
    return upload


@asynccontextmanager
async def _hold(registry: Registry, session: Session) -> AsyncIterator[tuple[Staged, Upload]]:
    """The staged bytes, cut to what was acknowledged, and the upload's row as it is while they are held."""
    upload = await _find(registry, session)
    deadline = time.monotonic() + _BUSY_SECONDS_MAX
    while True:
        try:
            async with registry.store.stage(upload.id) as staged:
                upload = await _find(registry, session)
                await _cut(registry, upload, staged)
                yield staged, upload
                return
        except StagedBusy:
            if time.monotonic() > deadline:
                raise UploadBusy(upload.size) from None
            await asyncio.sleep(_BUSY_POLL_SECONDS)
            upload = await _find(registry, session)


async def _cut(registry: Registry, upload: Upload, staged: Staged) -> None:
    try:
        await staged.cut(upload.size)
    except StagedBytesLost:
        # Power was cut, or a cancel or purge got no further than to free the bytes. Another process may still have
        # the hash of the lost bytes at hand, so nobody goes on here.
        await registry.database.write_soon(uploads.end, upload.id)
        raise BlobUploadUnknown(upload.id) from None


def _require_match(running: RunningHash, digest: Digest) -> None:
    if running.digest() != digest:
        raise DigestMismatch(digest, running.digest())


def _require_order(upload: Upload, chunk: ChunkRange | None) -> None:
    if chunk is not None and chunk.start != upload.size:
        raise UploadOutOfOrder(upload.size)


@dataclass(frozen=True, slots=True)
class _Pouring:
    """From where to where bytes go, and the hash that sees them pass."""

    body: AsyncIterator[bytes]
    staged: Staged
    running: RunningHash


async def _receive(registry: Registry, upload: Upload, chunk: ChunkRange | None, pouring: _Pouring) -> None:
    """Append the body; where it ends too early, what came counts, so that the client can go on from there."""
    recorded = time.monotonic()

    async def checkpoint(size: int) -> None:
        nonlocal recorded
        if time.monotonic() - recorded > _CHECKPOINT_SECONDS:
            recorded = time.monotonic()
            await registry.database.write_soon(uploads.resize, upload.id, size)

    staged = pouring.staged
    try:
        await pour(pouring.body, staged, pouring.running, checkpoint)
    except Exception:
        await registry.database.write_soon(uploads.resize, upload.id, staged.size)
        raise
    if chunk is not None and staged.size != upload.size + chunk.size:
        await registry.database.write_soon(uploads.resize, upload.id, upload.size)
        raise SizeInvalid(
            f"Content-Range announces {chunk.size} bytes, {staged.size - upload.size} came; send the chunk again"
        )


async def _publish(
    registry: Registry, repository: RepositoryName, upload_id: str, staged: Staged, digest: Digest
) -> None:
    """Bytes first and durable, row second: a crash in between leaves bytes that nobody sees."""
    await staged.publish(digest)
    await registry.database.write(_record, repository, upload_id, digest, staged.size)
    registry.hashes.forget(upload_id)


def _record(
    connection: Connection, repository: RepositoryName, upload_id: str, digest: Digest, size: int
) -> None:
    blobs.record(connection, repositories.ensure(connection, repository), digest, size)
    uploads.end(connection, upload_id)


async def _no_checkpoint(size: int) -> None:
    del size


def _new_id() -> str:
    return secrets.token_hex(16)
