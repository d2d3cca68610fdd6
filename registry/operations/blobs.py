"""Blobs of a repository: asking for them, reading them, deleting them."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from registry import logs
from registry.db import blobs
from registry.oci.errors import BlobUnknown
from registry.operations.entries import BlobUnlinked
from registry.operations.outbox import note
from registry.policy.deletion import require_enabled, require_unreferenced
from registry.policy.redirection import may_redirect
from registry.storage.contract import CHUNK_BYTES, BlobMissing, BlobReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.db.database import Connection
    from registry.oci.digest import Digest
    from registry.oci.names import RepositoryName
    from registry.operations.registry import Registry
    from registry.storage.journal import Line

__all__ = ["READ_BYTES", "BlobReader", "delete", "reader", "redirect", "size"]

READ_BYTES: Final = CHUNK_BYTES
"""How much of a blob is best read at a time."""

_MANIFESTS_NAMED_MAX: Final = 10

log = logs.logger(__name__)


async def size(registry: Registry, repository: RepositoryName, digest: Digest) -> int:
    """Bytes of a blob (end-2, HEAD); BlobUnknown where the repository may not see it."""
    found = await registry.database.look(blobs.size_in, repository, digest)
    if found is None:
        raise BlobUnknown(digest)
    return found


@asynccontextmanager
async def reader(registry: Registry, repository: RepositoryName, digest: Digest) -> AsyncIterator[BlobReader]:
    """The blob, open for reading (end-2); BlobUnknown where the repository may not see it, or its bytes are gone."""
    expected = await size(registry, repository, digest)
    if (small := registry.small.get(digest)) is not None:
        yield small
        return
    with suppress(BlobMissing):
        async with registry.store.reader(digest) as opened:
            if opened.size == expected:
                # One in memory has no URL, where clients may be sent to one.
                sent_here = not registry.settings.redirect.anybody
                yield await registry.small.keep(digest, opened) if sent_here else opened
                return
    await _lost(registry, digest, expected)
    raise BlobUnknown(digest)


async def redirect(registry: Registry, blob: BlobReader, client: str) -> str | None:
    """Where the client (by its address) is to fetch the blob; None where it is to be given it here."""
    if not may_redirect(registry.settings.redirect, client):
        return None
    return await blob.url(registry.settings.redirect.seconds)


async def delete(registry: Registry, repository: RepositoryName, digest: Digest) -> None:
    """The repository no longer sees the blob (end-10); BlobReferenced while one of its manifests names it."""
    require_enabled(enabled=registry.settings.deletion_enabled)
    await registry.deliver(await registry.database.write(_unlink, repository, digest))


def _unlink(connection: Connection, repository: RepositoryName, digest: Digest) -> Line:
    link = blobs.hold_to_unlink(connection, repository, digest)
    if link is None:
        raise BlobUnknown(digest)
    # Asked only now that the link is held: a manifest that is being pushed either holds it and is seen here after
    # that, or finds it gone.
    require_unreferenced(digest, blobs.manifests_naming(connection, *link, _MANIFESTS_NAMED_MAX))
    blobs.unlink(connection, *link)
    return note(connection, BlobUnlinked(repository, digest))


async def _intact(registry: Registry, digest: Digest, expected: int) -> bool:
    try:
        async with registry.store.reader(digest) as opened:
            return opened.size == expected
    except BlobMissing:
        return False


async def _lost(registry: Registry, digest: Digest, expected: int) -> None:
    """Rows say that the blob is there and the store says it is not: believe the store, so that a push brings it back.

    Somebody may be pushing it at this moment. Its bytes come first: where its row came before the count was taken,
    they are seen here; where it comes after that, the count differs or its own row is written after ours.
    """
    publications = await registry.database.read(blobs.publications, digest)
    if await _intact(registry, digest, expected):
        return
    if await registry.database.write(blobs.mark_absent, digest, publications):
        log.error(
            "the bytes of a blob are gone or cut off; push it again", digest=digest, bytes_expected=expected
        )
