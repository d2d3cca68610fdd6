"""Uploads: from the first byte that a client sends to a blob that the repository may see (spec.md, Pushing blobs).

The bytes are staged in the store under the upload's id; how many of them were acknowledged stands in the upload's row,
which is read again once they are held. What lies behind that size was never acknowledged, and is cut away before
anything is appended.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from registry.db import blobs, repositories, uploads
from registry.db.uploads import Upload
from registry.oci.digest import CANONICAL
from registry.oci.errors import (
    BlobUploadUnknown,
    DigestMismatch,
    SizeInvalid,
    Unavailable,
    UploadBusy,
    UploadOutOfOrder,
)
from registry.operations.hashing import RunningHash
from registry.operations.pouring import pour
from registry.operations.sessions import Session, find, hold
from registry.storage.contract import StagedBusy, StagedBytesLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from registry.db.database import Connection
    from registry.oci.access import Principal
    from registry.oci.digest import Digest
    from registry.oci.names import RepositoryName
    from registry.oci.ranges import ChunkRange
    from registry.operations.registry import Registry
    from registry.operations.sessions import Held

__all__ = ["Session", "append", "cancel", "discard", "finish", "push", "start", "status"]

_CHECKPOINT_SECONDS: Final = 10.0
"""How often the row learns of bytes that are still arriving: that keeps a slow upload from being purged, and lets it
go on from there after the server was killed, where the store has them already."""


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
    return (await find(registry, session)).size


async def append(
    registry: Registry, session: Session, chunk: ChunkRange | None, body: AsyncIterator[bytes]
) -> int:
    """Take more bytes, and say how many there are now (end-5)."""
    async with hold(registry, session) as held:
        _require_order(held.upload, chunk)
        running = registry.hashes.take(held.begun, held.begun.algorithm)
        fits = running.size == held.begun.size
        # Where others have appended to it, too, who finishes the upload hashes its bytes.
        await _receive(held, chunk, body, running if fits else None)
        await held.acknowledge()
        if fits:
            registry.hashes.keep(held.upload, running)
        return held.upload.size


async def finish(
    registry: Registry, session: Session, digest: Digest, chunk: ChunkRange | None, body: AsyncIterator[bytes]
) -> None:
    """Take the last bytes, if any; when they hash to `digest`, they are a blob of the repository (end-6)."""
    async with hold(registry, session) as held:
        _require_order(held.upload, chunk)
        running = registry.hashes.take(held.begun, digest.algorithm)
        if not running.size:
            async for piece in held.staged.read():
                await running.update(piece)
        await _receive(held, chunk, body, running)
        try:
            _require_match(running, digest)
        except DigestMismatch:
            await held.withdraw()
            raise
        await held.claim(digest)
        # Bytes first and durable, row second: a crash in between leaves bytes that nobody sees.
        await held.staged.publish(digest)
        await registry.database.write(
            _record_and_end, session.repository, session.id, digest, held.staged.size
        )
        registry.hashes.forget(session.id)


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
            await staged.publish(digest)
            await registry.database.write(_record, repository, upload_id, digest, staged.size)
    except Exception as error:
        await discard(registry, upload_id)
        if isinstance(error, StagedBytesLost):  # it stood still for so long that it was purged
            raise Unavailable("the upload took too long, and was given up; push the blob again") from None
        raise


async def cancel(registry: Registry, session: Session) -> None:
    """Forget the upload and its bytes (end-14)."""
    upload = await find(registry, session)
    try:
        async with registry.store.stage(session.id, upload.state) as staged:
            await find(registry, session)
            await staged.cut(0)  # first: on a full disk only this makes the room that the database needs
            ended = await registry.database.write_soon(uploads.cancel, session.id)
    except StagedBusy:  # whoever writes to it finds the row gone at the end
        ended = await registry.database.write_soon(uploads.cancel, session.id)
    if not ended:  # another request was faster: it has ended the upload, or is publishing it
        raise UploadBusy((await find(registry, session)).size)
    await discard(registry, session.id)


async def discard(registry: Registry, upload_id: str) -> None:
    """Forget what is staged; where a request still writes to it, `purge` comes back later."""
    registry.hashes.forget(upload_id)
    try:
        await registry.store.discard(upload_id)
    except StagedBusy:
        return


def _require_match(running: RunningHash, digest: Digest) -> None:
    if running.digest() != digest:
        raise DigestMismatch(digest, running.digest())


def _require_order(upload: Upload, chunk: ChunkRange | None) -> None:
    if chunk is not None and chunk.start != upload.size:
        raise UploadOutOfOrder(upload.size)


async def _receive(
    held: Held, chunk: ChunkRange | None, body: AsyncIterator[bytes], running: RunningHash | None
) -> None:
    """Append the body, and keep the hash in step, where there is one.

    Where it ends too early, what came counts, so that the client can go on from there.
    """
    begun, staged = held.begun, held.staged
    try:
        await pour(body, staged, running, _checkpoint_of(held))
    except Exception:
        with suppress(UploadOutOfOrder, BlobUploadUnknown):  # then somebody else's bytes count
            await held.acknowledge()
        raise
    if chunk is not None and staged.size != begun.size + chunk.size:
        await held.withdraw()
        raise SizeInvalid(
            f"Content-Range announces {chunk.size} bytes, {staged.size - begun.size} came; send the chunk again"
        )


def _checkpoint_of(held: Held) -> Callable[[int], Awaitable[None]]:
    recorded = time.monotonic()

    async def checkpoint(size: int) -> None:
        nonlocal recorded
        del size  # what is not flushed yet does not count yet
        if time.monotonic() - recorded > _CHECKPOINT_SECONDS:
            recorded = time.monotonic()
            await held.acknowledge_flushed()

    return checkpoint


def _record(
    connection: Connection, repository: RepositoryName, upload_id: str, digest: Digest, size: int
) -> bool:
    """The repository may see the blob, and the upload has ended; whether it had not before."""
    blobs.record(connection, repositories.ensure(connection, repository), digest, size)
    return uploads.end(connection, upload_id)


def _record_and_end(
    connection: Connection, repository: RepositoryName, upload_id: str, digest: Digest, size: int
) -> None:
    if not _record(connection, repository, upload_id, digest, size):
        # Finished by another request, or purged: who knows what has become of the bytes since.
        raise BlobUploadUnknown(upload_id)


async def _no_checkpoint(size: int) -> None:
    del size


def _new_id() -> str:
    return secrets.token_hex(16)
