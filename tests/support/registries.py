"""A registry as the deeds know it, and the shortest ways to do something to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.oci.access import Anonymous
from registry.oci.names import RepositoryName, Tag
from registry.operations import blobs, check, manifests, uploads
from registry.operations.registry import Registry, Settings
from registry.policy.access import AccessRules
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.db.database import Database
    from registry.oci.digest import Digest
    from registry.oci.manifest import Manifest
    from registry.storage.contract import BlobStore

APP: Final = RepositoryName("team/app")
COPY: Final = RepositoryName("team/copy")
ANYBODY: Final = Anonymous()
EXCLUSIVE: Final = ("memory+sqlite", "filesystem+postgres")
"""Where staged bytes are held by one request at a time."""
SETTINGS: Final = Settings(
    manifest_bytes_max=4 * 1024 * 1024,
    missing_references_allowed=False,
    tags_per_push_max=100,
    deletion_enabled=True,
    upload_idle_seconds_max=86400,
    page_size_max=10_000,
)


def registry_on(database: Database, store: BlobStore, access: AccessRules | None = None) -> Registry:
    """A registry that is open to all, unless `access` says otherwise."""
    return Registry(database, store, access or AccessRules(open_to_all=True), SETTINGS)


def changed(registry: Registry, **settings: Any) -> Registry:
    """The same registry, as another process with other settings has it: with nothing at hand."""
    return Registry(
        registry.database, registry.store, registry.access, replace(registry.settings, **settings)
    )


async def stream(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    """A request's body that arrives in these pieces, and then, given an error, breaks off."""
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece
    if error is not None:
        raise error


async def push_blobs(registry: Registry, repository: RepositoryName, *names: str) -> list[Digest]:
    """Push the blobs of these names; their digests."""
    for name in names:
        await uploads.push(registry, repository, images.blob_digest(name), stream(images.blob(name)))
    return [images.blob_digest(name) for name in names]


async def push_manifest(
    registry: Registry, repository: RepositoryName, manifest: Manifest, *tags: str
) -> Digest:
    """Push a manifest, by its digest and with these tags; what it names must be there."""
    digest = images.digest(manifest)
    await manifests.put(registry, repository, digest, manifest, [Tag(tag) for tag in tags])
    return digest


async def push_image(
    registry: Registry, repository: RepositoryName, manifest: Manifest, *tags: str
) -> Digest:
    """Push an image made of the blobs "config", "base" and "code", or fewer of them, and these blobs."""
    await push_blobs(registry, repository, *images.names_of(manifest, ["config", "base", "code"]))
    return await push_manifest(registry, repository, manifest, *tags)


async def read_blob(registry: Registry, repository: RepositoryName, digest: Digest) -> bytes:
    """The whole content of a blob, as the repository sees it."""
    async with blobs.reader(registry, repository, digest) as reader:
        return await reader.read(0, reader.size)


async def problems(registry: Registry) -> list[str]:
    """What `registry check` finds wrong, with every blob read and hashed."""
    report = await check.check(registry, lambda *_: None, deep=True)
    return report.problems
