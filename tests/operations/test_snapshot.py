"""A database as entries: all of it, in an order in which each stands on earlier ones, and nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.db import blobs as blob_rows
from registry.db import snapshot as rows
from registry.oci.names import Tag
from registry.operations import blobs, manifests, snapshot, uploads
from registry.operations.entries import BlobLinked, ManifestStored, RepositoryCreated, TagPointed, dump
from registry.storage.contract import StoredBlob
from tests.support.entries import content
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import ANYBODY, APP, COPY, push_blobs, push_image, push_manifest

if TYPE_CHECKING:
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

IMAGE = image("base")


async def visible(registry: Registry) -> list[StoredBlob]:
    """The blobs that must be in the store."""
    return [blob async for portion in registry.database.stream(snapshot.visible_blobs) for blob in portion]


async def test_nothing(registry: Registry) -> None:
    """An empty registry has no entries and needs no blobs."""
    assert await content(registry) == []
    assert await visible(registry) == []


async def test_everything(registry: Registry) -> None:
    """Each repository, link, manifest and tag is told once, with what it was when it came; uploads are not."""
    await push_image(registry, APP, IMAGE, "v1", "latest")
    await push_blobs(registry, COPY, "base")
    await uploads.start(registry, APP, ANYBODY)
    told = await content(registry)
    assert {entry.repository for entry in told if isinstance(entry, RepositoryCreated)} == {APP, COPY}
    assert {(e.repository, e.digest, e.size) for e in told if isinstance(e, BlobLinked)} == {
        (repository, blob_digest(name), len(blob(name)))
        for repository, name in [(APP, "config"), (APP, "base"), (COPY, "base")]
    }
    [stored] = [entry for entry in told if isinstance(entry, ManifestStored)]
    assert (stored.digest, stored.content, stored.media_type) == (
        digest(IMAGE),
        IMAGE.content,
        IMAGE.media_type,
    )
    assert stored.complete is True
    assert {(e.tag, e.digest) for e in told if isinstance(e, TagPointed)} == {
        (Tag("v1"), digest(IMAGE)),
        (Tag("latest"), digest(IMAGE)),
    }
    assert len(told) == len({dump(entry) for entry in told}) == 2 + 3 + 1 + 2


async def test_order(registry: Registry) -> None:
    """What a manifest names comes before it, unless one index names another; tags come last."""
    await push_image(registry, APP, IMAGE, "first")
    await push_manifest(registry, APP, index(IMAGE), "index")
    await push_image(registry, APP, image("code"))
    told = await content(registry)
    kinds = [type(entry) for entry in told]
    assert kinds == sorted(kinds, key=[RepositoryCreated, BlobLinked, ManifestStored, TagPointed].index)
    stored = [entry.digest for entry in told if isinstance(entry, ManifestStored)]
    assert stored == [digest(IMAGE), digest(image("code")), digest(index(IMAGE))]


async def test_manifests_that_do_not_fit_together(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifests are read in groups whose content fits into memory, and none is left out."""
    monkeypatch.setattr(rows, "_BYTES", 3 * len(IMAGE.content))
    monkeypatch.setattr(rows, "_ROWS", 4)
    images = [image("base", annotations={"n": str(n)}) for n in range(10)]
    for one in images:
        await push_image(registry, APP, one)
    groups = [
        [entry.digest for entry in portion if isinstance(entry, ManifestStored)]
        async for portion in registry.database.stream(snapshot.entries)
    ]
    assert [found for group in groups for found in group] == [digest(one) for one in images]
    assert max(map(len, groups)) == 2


async def test_blobs_that_nobody_sees(registry: Registry) -> None:
    """Only blobs that a repository sees must be in the store: not those deleted, nor those known to be gone."""
    await push_blobs(registry, APP, "base", "code", "config")
    await registry.database.write(blob_rows.mark_absent, blob_digest("base"), 1)
    await blobs.delete(registry, APP, blob_digest("code"))
    assert await visible(registry) == [StoredBlob(blob_digest("config"), len(blob("config")))]
    linked = {entry.digest for entry in await content(registry) if isinstance(entry, BlobLinked)}
    assert linked == {blob_digest("base"), blob_digest("config")}


async def test_one_state(registry: Registry) -> None:
    """What is pushed and deleted while the entries are read is not in them: they tell of the state at their beginning."""
    await push_image(registry, APP, IMAGE, "v1")
    before = await content(registry)
    told = []
    portions = registry.database.stream(snapshot.entries)
    told += await anext(portions)
    await push_image(registry, COPY, image("code"), "v2")
    await manifests.delete(registry, APP, digest(IMAGE))
    told += [entry async for portion in portions for entry in portion]
    assert told == before
