"""Manifests: accepted when complete, served as pushed, deleted as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.db import inspection, schema
from registry.oci.digest import Digest
from registry.oci.errors import (
    BlobUnknown,
    DeletionDisabled,
    DigestMismatch,
    ManifestBlobUnknown,
    ManifestUnknown,
    TooManyTags,
)
from registry.oci.names import RepositoryName, Tag
from registry.operations import blobs, listing, manifests
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import (
    ANYBODY,
    APP,
    COPY,
    changed,
    problems,
    push_blobs,
    push_image,
    push_manifest,
    read_blob,
)

if TYPE_CHECKING:
    from registry.db.manifests import StoredManifest
    from registry.oci.names import Reference
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

IMAGE, OTHER = image("base", "code"), image("code")
LATEST = Tag("latest")


async def found(
    registry: Registry, reference: Reference, repository: RepositoryName = APP
) -> StoredManifest | None:
    """The manifest, None where there is none."""
    try:
        return await manifests.get(registry, repository, reference)
    except ManifestUnknown:
        return None


async def tags(registry: Registry, repository: RepositoryName = APP) -> list[str]:
    """All tags."""
    return list((await listing.list_tags(registry, repository, "", None)).entries)


# Pushing


async def test_push_by_tag(registry: Registry) -> None:
    """A manifest pushed by tag is found by the tag and by its digest, byte for byte."""
    await push_blobs(registry, APP, "config", "base", "code")
    push = await manifests.put(registry, APP, LATEST, IMAGE)
    assert (push.digest, push.tags) == (digest(IMAGE), (LATEST,))
    for reference in (LATEST, digest(IMAGE)):
        assert (await manifests.get(registry, APP, reference)).content == IMAGE.content
        assert (await manifests.get(registry, APP, reference, head=True)).content is None


async def test_push_by_digest(registry: Registry) -> None:
    """A manifest pushed by digest has no tag, unless some are given with it, each of them once."""
    await push_image(registry, APP, IMAGE)
    assert await tags(registry) == []
    push = await manifests.put(registry, APP, digest(IMAGE), IMAGE, [Tag("b"), Tag("a"), Tag("b")])
    assert push.tags == (Tag("a"), Tag("b"))
    assert await tags(registry) == ["a", "b"]


async def test_push_by_sha512(registry: Registry) -> None:
    """A manifest pushed by a sha512 digest is known by that."""
    await push_blobs(registry, APP, "config", "base", "code")
    by_sha512 = Digest.of(IMAGE.content, "sha512")
    push = await manifests.put(registry, APP, by_sha512, IMAGE, [LATEST])
    assert push.digest == by_sha512
    for reference in (by_sha512, LATEST):
        assert (await manifests.get(registry, APP, reference)).digest == by_sha512
    assert await problems(registry) == []


async def test_push_by_wrong_digest(registry: Registry) -> None:
    """A manifest whose bytes hash to something else is refused, and nothing of it stays."""
    await push_blobs(registry, APP, "config", "base", "code")
    with pytest.raises(DigestMismatch):
        await manifests.put(registry, APP, digest(OTHER), IMAGE, [LATEST])
    for reference in (digest(OTHER), digest(IMAGE), LATEST):
        assert await found(registry, reference) is None


async def test_too_many_tags(registry: Registry) -> None:
    """More tags in one push than the operator allows are refused, all of them."""
    await push_blobs(registry, APP, "config", "base", "code")
    strict = changed(registry, tags_per_push_max=2)
    with pytest.raises(TooManyTags, match="at most 2 tags"):
        await push_manifest(strict, APP, IMAGE, "a", "b", "c")
    assert await found(registry, digest(IMAGE)) is None
    await push_manifest(strict, APP, IMAGE, "a", "b", "b", "a")
    assert await tags(registry) == ["a", "b"]


# Completeness


async def test_missing_blobs(registry: Registry) -> None:
    """A manifest that names what the repository does not see is refused, all of it is named, and nothing stays."""
    await push_blobs(registry, APP, "base")
    await push_blobs(registry, COPY, "code")
    with pytest.raises(ManifestBlobUnknown) as caught:
        await push_manifest(registry, APP, IMAGE, "latest")
    assert caught.value.digests == sorted([blob_digest("code"), blob_digest("config")])
    assert await found(registry, LATEST) is None
    assert await tags(registry) == []
    assert await problems(registry) == []


async def test_first_push_that_is_refused(registry: Registry) -> None:
    """A refused push makes no repository."""
    with pytest.raises(ManifestBlobUnknown):
        await push_manifest(registry, RepositoryName("new"), IMAGE)
    assert (await listing.list_repositories(registry, ANYBODY, "", None)).entries == []


async def test_missing_children(registry: Registry) -> None:
    """An index that names manifests of another repository, or a blob as a manifest, is refused."""
    await push_image(registry, APP, IMAGE)
    await push_image(registry, COPY, OTHER)
    with pytest.raises(ManifestBlobUnknown) as caught:
        await push_manifest(registry, APP, index(IMAGE, OTHER))
    assert caught.value.digests == [digest(OTHER)]


async def test_subject_may_be_missing(registry: Registry) -> None:
    """What a manifest refers to need not be there, now or ever."""
    await push_blobs(registry, APP, "config")
    await push_manifest(registry, APP, image(subject=OTHER))
    assert await problems(registry) == []


async def test_same_blob_many_times(registry: Registry) -> None:
    """A manifest may name one blob as often as it likes."""
    await push_blobs(registry, APP, "base")
    await push_manifest(registry, APP, image("base", "base", "base", config="base"), "latest")
    assert await problems(registry) == []


async def test_empty_index(registry: Registry) -> None:
    """An index of nothing is complete."""
    await push_manifest(registry, APP, index(), "latest")
    assert await found(registry, LATEST) is not None


async def test_deep_index(registry: Registry) -> None:
    """An index may name indexes, and a manifest that names itself nowhere cannot be made."""
    await push_image(registry, APP, IMAGE)
    await push_manifest(registry, APP, index(IMAGE))
    await push_manifest(registry, APP, index(index(IMAGE), IMAGE), "latest")
    assert await problems(registry) == []


async def test_sparse_where_allowed(registry: Registry) -> None:
    """Where the operator allows it, a manifest is taken without what it names, and the check knows that."""
    lenient = changed(registry, missing_references_allowed=True)
    await push_blobs(registry, COPY, "code")
    await push_manifest(lenient, APP, IMAGE, "latest")
    await push_manifest(lenient, APP, index(IMAGE, OTHER))
    assert await found(registry, LATEST) is not None
    for name in ("base", "code", "config"):
        with pytest.raises(BlobUnknown):
            await blobs.size(registry, APP, blob_digest(name))
    assert await problems(registry) == []
    assert await registry.database.read(inspection.sparse) == 1


async def test_sparse_is_filled(registry: Registry) -> None:
    """A blob that was expected is there once it is pushed; the manifest pushed again counts as complete then."""
    await push_manifest(changed(registry, missing_references_allowed=True), APP, IMAGE)
    with pytest.raises(ManifestBlobUnknown):
        await push_manifest(registry, APP, IMAGE)
    await push_blobs(registry, APP, "config", "base", "code")
    assert await read_blob(registry, APP, blob_digest("base")) == blob("base")
    assert not await counts_as_complete(registry)
    await push_manifest(registry, APP, IMAGE)
    assert await counts_as_complete(registry)


async def test_complete_stays_complete(registry: Registry) -> None:
    """A manifest accepted as complete counts as such, also when a lenient registry accepts it again."""
    await push_image(registry, APP, IMAGE)
    await push_manifest(changed(registry, missing_references_allowed=True), APP, IMAGE)
    assert await counts_as_complete(registry)


async def counts_as_complete(registry: Registry) -> bool:
    """Whether the check would complain, were a blob of the manifest lost."""
    base = schema.blobs.update().where(schema.blobs.c.digest == blob_digest("base"))
    await registry.database.write(lambda connection: connection.execute(base.values(present=False)))
    holes = await registry.database.read(inspection.incomplete, 10)
    await registry.database.write(lambda connection: connection.execute(base.values(present=True)))
    return bool(holes)


# Deleting


async def test_delete_tag(registry: Registry) -> None:
    """Deleting a tag deletes that tag; the manifest stays, with its other tags."""
    await push_image(registry, APP, IMAGE, "latest", "v1")
    await manifests.delete(registry, APP, LATEST)
    assert await tags(registry) == ["v1"]
    assert await found(registry, digest(IMAGE)) is not None
    with pytest.raises(ManifestUnknown):
        await manifests.delete(registry, APP, LATEST)


async def test_delete_manifest(registry: Registry) -> None:
    """Deleting a manifest deletes all its tags, in its repository, and no other manifest."""
    await push_image(registry, APP, IMAGE, "latest", "v1")
    await push_image(registry, APP, OTHER, "other")
    await push_image(registry, COPY, IMAGE, "latest")
    await manifests.delete(registry, APP, digest(IMAGE))
    assert await tags(registry) == ["other"]
    assert await found(registry, digest(IMAGE)) is None
    assert await found(registry, LATEST, COPY) is not None
    with pytest.raises(ManifestUnknown):
        await manifests.delete(registry, APP, digest(IMAGE))
    assert await problems(registry) == []


async def test_delete_child(registry: Registry) -> None:
    """A manifest that an index names may be deleted: the index stays as it is, sparse and not broken."""
    await push_image(registry, APP, IMAGE)
    await push_manifest(registry, APP, index(IMAGE), "latest")
    await manifests.delete(registry, APP, digest(IMAGE))
    kept = await found(registry, LATEST)
    assert kept
    assert kept.content == index(IMAGE).content
    assert await problems(registry) == []
    assert await registry.database.read(inspection.sparse) == 1


async def test_push_after_delete(registry: Registry) -> None:
    """A deleted manifest can be pushed again, without its old tags."""
    await push_image(registry, APP, IMAGE, "latest")
    await manifests.delete(registry, APP, digest(IMAGE))
    await push_manifest(registry, APP, IMAGE)
    assert await tags(registry) == []
    assert await found(registry, digest(IMAGE)) is not None


async def test_deletion_is_off(registry: Registry) -> None:
    """Where the operator switched deletion off, neither tags nor manifests go."""
    await push_image(registry, APP, IMAGE, "latest")
    for reference in (LATEST, digest(IMAGE)):
        with pytest.raises(DeletionDisabled):
            await manifests.delete(changed(registry, deletion_enabled=False), APP, reference)
    assert await found(registry, LATEST) is not None
