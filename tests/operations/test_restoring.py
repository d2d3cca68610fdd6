"""Entries become rows again: all that is true, and nothing that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from registry.db import blobs as blob_rows
from registry.oci.digest import Digest
from registry.oci.errors import BlobUnknown, ManifestUnknown
from registry.oci.names import RepositoryName, Tag
from registry.operations import blobs, listing, manifests, restoring
from registry.operations.entries import (
    BlobLinked,
    BlobUnlinked,
    Entry,
    ManifestDeleted,
    ManifestStored,
    RepositoryCreated,
    TagDeleted,
    TagPointed,
)
from tests.support.entries import apply, content, lines, start_anew
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import (
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
    from collections.abc import AsyncIterator

    from registry.oci.manifest import Manifest
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

IMAGE = image("base", "code")
V1 = Tag("v1")
LATEST = Tag("latest")


def stored(manifest: Manifest, *tags: Tag, complete: bool = True, at_us: int = 5) -> ManifestStored:
    """The entry of a push."""
    return ManifestStored(APP, digest(manifest), manifest.media_type, manifest.content, complete, at_us, tags)


def linked(name: str, repository: RepositoryName = APP) -> BlobLinked:
    """The entry of a blob that the repository sees."""
    return BlobLinked(repository, blob_digest(name), len(blob(name)), 6)


async def fill(registry: Registry) -> None:
    """An image, an index of it, an index of that, a referrer, a moved tag, and a repository that was emptied."""
    await push_image(registry, APP, IMAGE, "v1", "latest")
    await push_image(registry, APP, image("base"), "latest")
    await push_manifest(registry, APP, index(IMAGE), "index")
    await push_manifest(registry, APP, index(index(IMAGE)), "outer")
    await push_manifest(registry, APP, image("base", subject=IMAGE, artifact_type="test/sbom"))
    await push_blobs(registry, COPY, "base")
    await blobs.delete(registry, COPY, blob_digest("base"))


async def test_all_that_was(registry: Registry) -> None:
    """Restored from its own entries, a registry is what it was, to the microsecond, and its check is content."""
    await fill(registry)
    was = await content(registry)
    report = await start_anew(registry, *was)
    assert (report.refused, report.missing) == ([], [])
    assert report.counts == {"repositories": 2, "manifests": 5, "tags": 4, "blobs": 3, "uploads": 0}
    assert lines(await content(registry)) == lines(was)
    assert await problems(registry) == []
    assert await read_blob(registry, APP, blob_digest("code")) == blob("code")


async def test_twice(registry: Registry) -> None:
    """To apply entries twice, in one batch and in two, is to apply them once."""
    await fill(registry)
    was = await content(registry)
    await start_anew(registry, *was, *was)
    await apply(registry, *was)
    assert lines(await content(registry)) == lines(was)


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_batches(registry: Registry, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However many entries are applied at a time, the outcome is the same."""
    await fill(registry)
    was = await content(registry)
    monkeypatch.setattr(restoring, "_BATCH", size)
    assert (await start_anew(registry, *was)).refused == []
    assert lines(await content(registry)) == lines(was)


async def test_children_may_come_later(registry: Registry) -> None:
    """An index may come before what it names."""
    await fill(registry)
    was = await content(registry)
    turned = [entry for entry in was if isinstance(entry, ManifestStored)][::-1]
    others = [entry for entry in was if not isinstance(entry, ManifestStored)]
    report = await start_anew(registry, *turned, *others)
    assert (report.refused, report.missing) == ([], [])
    assert await problems(registry) == []


# One after the other, as a journal tells it


async def test_manifest_links_what_it_names(registry: Registry) -> None:
    """The blobs of a complete manifest are its repository's, without entries of their own."""
    await push_image(registry, APP, IMAGE)
    report = await start_anew(registry, stored(IMAGE, V1, LATEST))
    assert (report.refused, report.missing) == ([], [])
    assert await read_blob(registry, APP, blob_digest("code")) == blob("code")
    assert (await listing.list_tags(registry, APP, "", None)).entries == [LATEST, V1]
    assert await problems(registry) == []


async def test_last_one_counts(registry: Registry) -> None:
    """Where a tag moves, and comes and goes, the last entry counts; within one batch, too."""
    await push_image(registry, APP, IMAGE)
    await push_image(registry, APP, image("base"))
    await start_anew(
        registry,
        stored(IMAGE, V1, LATEST),
        stored(image("base"), V1),
        TagPointed(APP, LATEST, digest(image("base")), 9),
        TagDeleted(APP, LATEST),
        TagPointed(APP, LATEST, digest(IMAGE), 10),
        TagDeleted(APP, V1),
    )
    assert (await listing.list_tags(registry, APP, "", None)).entries == [LATEST]
    assert (await manifests.get(registry, APP, LATEST)).digest == digest(IMAGE)


async def test_deleted_manifest(registry: Registry) -> None:
    """A manifest that was deleted is not there, nor are its tags, unless it was pushed again."""
    await push_image(registry, APP, IMAGE)
    await start_anew(registry, stored(IMAGE, V1), ManifestDeleted(APP, digest(IMAGE)))
    with pytest.raises(ManifestUnknown):
        await manifests.get(registry, APP, V1)
    await apply(registry, stored(IMAGE, LATEST))
    assert (await listing.list_tags(registry, APP, "", None)).entries == [LATEST]


async def test_unlinked_blob(registry: Registry) -> None:
    """A blob that was deleted from a repository is not seen there."""
    await push_blobs(registry, APP, "base")
    await start_anew(registry, linked("base"), linked("base", COPY), BlobUnlinked(APP, blob_digest("base")))
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, APP, blob_digest("base"))
    assert await blobs.size(registry, COPY, blob_digest("base")) == len(blob("base"))


@pytest.mark.parametrize(
    "entry",
    [
        ManifestDeleted(APP, digest(IMAGE)),
        TagDeleted(APP, V1),
        BlobUnlinked(APP, blob_digest("base")),
    ],
    ids=lambda entry: type(entry).__name__,
)
async def test_delete_of_what_is_not_there(registry: Registry, entry: Entry) -> None:
    """To delete what is not there is nothing wrong, with and without its repository."""
    assert (await start_anew(registry, entry)).refused == []
    assert (await apply(registry, RepositoryCreated(APP, 1), entry)).refused == []
    assert await content(registry) == [RepositoryCreated(APP, 1)]


# What is not there, or not true


async def test_missing_blob(registry: Registry) -> None:
    """A blob that the store lost is named, the manifest stays complete, and a push of the blob mends it."""
    await push_image(registry, APP, IMAGE, "v1")
    was = await content(registry)
    await registry.store.delete(blob_digest("base"))
    report = await start_anew(registry, *was)
    assert report.missing == [
        f"{APP}: blob {blob_digest('base')} of {len(blob('base'))} bytes is not in the store"
    ]
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, APP, blob_digest("base"))
    assert len(await problems(registry)) == 1
    await push_blobs(registry, APP, "base")
    assert lines(await content(registry)) == lines(was)
    assert await problems(registry) == []


async def test_blob_of_another_size(registry: Registry) -> None:
    """A blob that the store has with another size is missing."""
    await push_image(registry, APP, IMAGE)
    was = await content(registry)
    async with registry.store.stage("spoilt") as staged:
        await staged.write(b"short")
        await staged.publish(blob_digest("base"))
    [missing] = (await start_anew(registry, *was)).missing
    assert str(blob_digest("base")) in missing


async def test_blob_that_was_known_to_be_gone(registry: Registry) -> None:
    """A blob that was known to be gone, and was put back into the store meanwhile, is there again."""
    await push_image(registry, APP, IMAGE)
    was = await content(registry)
    await registry.database.write(blob_rows.mark_absent, blob_digest("base"), 1)
    assert lines(await content(registry)) == lines(was)
    assert (await start_anew(registry, *was)).missing == []


async def test_incomplete_manifest(registry: Registry) -> None:
    """What was accepted incomplete stays so: what it names is linked only where an entry says so."""
    lenient = changed(registry, missing_references_allowed=True)
    await push_blobs(registry, APP, "base")
    await push_blobs(registry, COPY, "code")
    await push_manifest(lenient, APP, IMAGE, "v1")
    was = await content(registry)
    for entries in (was, [stored(IMAGE, V1, complete=False), *was]):
        assert (await start_anew(registry, *entries)).missing == []
        with pytest.raises(BlobUnknown):
            await blobs.size(registry, APP, blob_digest("code"))
        assert await blobs.size(registry, APP, blob_digest("base")) == len(blob("base"))
        assert await blobs.size(registry, COPY, blob_digest("code")) == len(blob("code"))
        assert await problems(registry) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda entry: replace(entry, content=entry.content + b" "), "its content hashes to sha256:"),
        (lambda entry: replace(entry, media_type="text/plain"), "they must be the same"),
        (
            lambda entry: replace(entry, content=b"[]", digest=Digest.of(b"[]")),
            "a manifest is a JSON object",
        ),
    ],
)
async def test_manifest_that_is_none(registry: Registry, spoil: object, words: str) -> None:
    """A manifest that is not what its digest names, or none, is refused and named with its tag; the rest goes on."""
    assert callable(spoil)
    await push_image(registry, APP, IMAGE)
    wrong = spoil(stored(IMAGE))
    report = await start_anew(
        registry, wrong, stored(image("base")), TagPointed(APP, V1, wrong.digest, 7), linked("code")
    )
    assert len(report.refused) == 2
    assert report.refused[0].startswith(f"{APP}@{wrong.digest}: ")
    assert words in report.refused[0]
    assert report.refused[1].startswith(f"{APP}:v1: points to {wrong.digest}, which is not in")
    assert report.counts["manifests"] == 1
    assert report.counts["tags"] == 0
    assert await problems(registry) == []


async def test_progress(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is told how many entries were applied, batch by batch."""
    monkeypatch.setattr(restoring, "_BATCH", 2)
    told: list[tuple[str, int, int | None]] = []

    async def three() -> AsyncIterator[Entry]:
        for name in ("a", "b", "c"):
            yield RepositoryCreated(RepositoryName(name), 1)

    await restoring.restore(registry, three(), lambda *step: told.append(step))
    assert told == [("entries", 2, None), ("entries", 3, None)]


async def test_large_manifests(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large manifests come in small batches."""
    monkeypatch.setattr(restoring, "_BATCH_BYTES", len(IMAGE.content) + 1)
    await push_image(registry, APP, IMAGE)
    sizes = []

    def count(step: str, done: int, total: int | None) -> None:
        sizes.append(done)

    async def four() -> AsyncIterator[Entry]:
        for _ in range(4):
            yield stored(IMAGE)

    await restoring.restore(registry, four(), count)
    assert sizes == [2, 4]
