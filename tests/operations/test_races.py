"""Two deeds at the same moment, one holding what the other wants: there is never a hole, in either order.

On Postgres, where transactions really run side by side: one is stopped just before it commits, the other is started
and waits for it. SQLite has one writer at a time, so that there the second begins when the first is done.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import text

from registry.db import blobs as rows
from registry.db import inspection, repositories, tags
from registry.db import manifests as manifest_rows
from registry.db.database import open_database
from registry.oci.errors import BlobReferenced, BlobUnknown, ManifestBlobUnknown, ManifestUnknown
from registry.oci.names import RepositoryName, Tag
from registry.operations import blobs, manifests, mounts, uploads
from registry.storage.memory import MemoryStore
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import (
    ANYBODY,
    APP,
    COPY,
    problems,
    push_blobs,
    push_image,
    push_manifest,
    registry_on,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection

    from registry.db.database import Database
    from registry.oci.manifest import Manifest
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

LATEST: Final = Tag("latest")
IMAGE: Final = image("base", "code")
OTHER: Final = image("code")
INDEX: Final = index(IMAGE, OTHER)


@pytest.fixture
async def registry(postgres: Database) -> Registry:
    """Give a registry on Postgres with two images, the first of them with the tag "latest"."""
    registry = registry_on(postgres, MemoryStore())
    await push_blobs(registry, APP, "config", "base", "code")
    await push_image(registry, APP, IMAGE, "latest")
    await push_image(registry, APP, OTHER)
    return registry


def put(manifest: Manifest, *names: str) -> Callable[[Connection], object]:
    """The transaction of a push."""
    push = manifests.Push(APP, digest(manifest), manifest, tuple(Tag(name) for name in names))
    return partial(manifests._store, push=push, allow_missing=False)


def delete_blob(name: str) -> Callable[[Connection], object]:
    """The transaction of a blob's deletion."""
    return partial(blobs._unlink, repository=APP, digest=blob_digest(name))


def delete_manifest(manifest: Manifest) -> Callable[[Connection], object]:
    """The transaction of a manifest's deletion."""
    return partial(manifest_rows.delete_manifest, repository=APP, digest=digest(manifest))


def push_blob(name: str, repository: RepositoryName = APP) -> Callable[[Connection], object]:
    """The transaction at the end of a blob's push."""
    return partial(
        uploads._record, repository=repository, upload_id="", digest=blob_digest(name), size=len(blob(name))
    )


def mount(name: str) -> Callable[[Connection], object]:
    """The transaction of a mount."""
    return partial(mounts._mount, source=APP, digest=blob_digest(name), target=COPY)


@asynccontextmanager
async def meanwhile(
    registry: Registry, first: Callable[[Connection], object], second: Callable[[Connection], object]
) -> AsyncIterator[tuple[asyncio.Task[Any], Connection]]:
    """The first has done all but commit (which happens at the end of the block); the second waits for that."""
    with registry.database.engine.begin() as connection:
        first(connection)
        task = asyncio.create_task(registry.database.write(second))
        await until_it_waits(registry, task)
        yield task, connection


async def until_it_waits(registry: Registry, task: asyncio.Task[Any]) -> None:
    """Return when a transaction waits for another."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(30):
        while not await registry.database.read(lambda connection: connection.scalar(waiting)):
            assert not task.done(), "the second did not wait for the first"
            await asyncio.sleep(0.005)


async def after(
    registry: Registry, first: Callable[[Connection], object], second: Callable[[Connection], object]
) -> object:
    """What the second returns, once the first has committed."""
    async with meanwhile(registry, first, second) as (task, _):
        pass
    return await task


async def after_all(
    registry: Registry, first: Callable[[Connection], object], second: Callable[[Connection], object]
) -> object:
    """What the second returns, once the first has been rolled back."""
    async with meanwhile(registry, first, second) as (task, connection):
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    return await task


async def tags_of(registry: Registry) -> dict[str, str]:
    """Each tag with the digest that it points to."""
    repository_id = await registry.database.read(repositories.find, APP)
    assert repository_id
    names = await registry.database.read(tags.page, repository_id, "", 100)
    return {name: (await manifests.get(registry, APP, name)).digest for name in names}


# A manifest is pushed while a blob that it names is deleted

LONELY: Final = image("lonely")


async def test_blob_is_deleted_while_a_manifest_comes_to_name_it(registry: Registry) -> None:
    """The deletion waits for the push, and is refused then."""
    await push_blobs(registry, APP, "lonely")
    with pytest.raises(BlobReferenced) as caught:
        await after(registry, put(LONELY), delete_blob("lonely"))
    assert digest(LONELY) in str(caught.value.detail)
    assert await problems(registry) == []


async def test_blob_is_deleted_while_a_push_fails(registry: Registry) -> None:
    """The deletion waits for the push, and happens when the push came to nothing."""
    await push_blobs(registry, APP, "lonely")
    await after_all(registry, put(LONELY), delete_blob("lonely"))
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, APP, blob_digest("lonely"))


async def test_manifest_comes_to_name_a_blob_while_it_is_deleted(registry: Registry) -> None:
    """The push waits for the deletion, and is refused then: it would have a hole."""
    await push_blobs(registry, APP, "lonely")
    with pytest.raises(ManifestBlobUnknown) as caught:
        await after(registry, delete_blob("lonely"), put(LONELY))
    assert caught.value.digests == [blob_digest("lonely")]
    with pytest.raises(ManifestUnknown):
        await manifests.get(registry, APP, digest(LONELY))
    assert await problems(registry) == []


async def test_manifest_comes_to_name_a_blob_whose_deletion_fails(registry: Registry) -> None:
    """The push waits for the deletion, and is accepted when that came to nothing."""
    await push_blobs(registry, APP, "lonely")
    await after_all(registry, delete_blob("lonely"), put(LONELY))
    assert await problems(registry) == []
    assert (await manifests.get(registry, APP, digest(LONELY))).content == LONELY.content


# A blob is pushed, or mounted, while it is deleted


async def test_blob_is_pushed_while_it_is_deleted(registry: Registry) -> None:
    """The push waits for the deletion, and brings the blob back."""
    await push_blobs(registry, APP, "lonely")
    await after(registry, delete_blob("lonely"), push_blob("lonely"))
    assert await blobs.size(registry, APP, blob_digest("lonely")) == len(blob("lonely"))


async def test_blob_is_mounted_while_it_is_deleted(registry: Registry) -> None:
    """A mount that finds nothing any more when it may look says so."""
    await push_blobs(registry, APP, "lonely")
    assert await after(registry, delete_blob("lonely"), mount("lonely")) is False
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, COPY, blob_digest("lonely"))


async def test_blob_is_deleted_while_it_is_mounted(registry: Registry) -> None:
    """A blob that is deleted where it came from stays where it was mounted to."""
    await push_blobs(registry, APP, "lonely")
    await after(registry, mount("lonely"), delete_blob("lonely"))
    assert await blobs.size(registry, COPY, blob_digest("lonely")) == len(blob("lonely"))
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, APP, blob_digest("lonely"))


async def test_blob_is_pushed_twice(registry: Registry) -> None:
    """Two repositories get the same new blob at the same moment."""
    await after(registry, push_blob("new"), push_blob("new", COPY))
    for repository in (APP, COPY):
        assert await blobs.size(registry, repository, blob_digest("new")) == len(blob("new"))


# An index is pushed while a manifest that it names is deleted


async def test_child_is_deleted_while_an_index_comes_to_name_it(registry: Registry) -> None:
    """The deletion waits for the push; it is its owner's will, and leaves a sparse index."""
    assert await after(registry, put(INDEX), delete_manifest(OTHER)) is True
    assert await registry.database.read(inspection.sparse) == 1
    assert await problems(registry) == []


async def test_index_comes_to_name_a_child_while_it_is_deleted(registry: Registry) -> None:
    """The push waits for the deletion, and is refused then."""
    with pytest.raises(ManifestBlobUnknown) as caught:
        await after(registry, delete_manifest(OTHER), put(INDEX))
    assert caught.value.digests == [digest(OTHER)]
    assert await problems(registry) == []


async def test_index_comes_to_name_a_child_whose_deletion_fails(registry: Registry) -> None:
    """The push waits for the deletion, and is accepted when that came to nothing."""
    await after_all(registry, delete_manifest(OTHER), put(INDEX))
    assert await registry.database.read(inspection.sparse) == 0


# A tag moves while a manifest is deleted


async def test_manifest_is_deleted_while_its_tag_moves_away(registry: Registry) -> None:
    """The tag is where it moved to: only tags that point to the manifest go with it."""
    assert await after(registry, put(OTHER, "latest"), delete_manifest(IMAGE)) is True
    assert await tags_of(registry) == {"latest": digest(OTHER)}
    assert await problems(registry) == []


async def test_tag_moves_away_while_its_manifest_is_deleted(registry: Registry) -> None:
    """The tag is where it moved to."""
    await after(registry, delete_manifest(IMAGE), put(OTHER, "latest"))
    assert await tags_of(registry) == {"latest": digest(OTHER)}
    assert await problems(registry) == []


async def test_tag_moves_to_a_manifest_while_that_is_deleted(registry: Registry) -> None:
    """The push waits for the deletion, and puts the manifest there anew, with the tag."""
    await after(registry, delete_manifest(OTHER), put(OTHER, "latest"))
    assert await tags_of(registry) == {"latest": digest(OTHER)}
    assert await problems(registry) == []


async def test_manifest_is_deleted_while_a_tag_moves_to_it(registry: Registry) -> None:
    """The deletion waits for the push, and takes the new tag along: no tag points nowhere."""
    assert await after(registry, put(OTHER, "latest", "new"), delete_manifest(OTHER)) is True
    assert await tags_of(registry) == {}
    assert await problems(registry) == []


async def test_tag_is_pushed_twice(registry: Registry) -> None:
    """Of two pushes with one tag the later one has it; both manifests are there."""
    await after(registry, put(OTHER, "latest"), put(IMAGE, "latest"))
    assert await tags_of(registry) == {"latest": digest(IMAGE)}
    for manifest in (IMAGE, OTHER):
        assert (await manifests.get(registry, APP, digest(manifest))).content == manifest.content


async def test_repository_comes_into_being_twice(registry: Registry) -> None:
    """Two first pushes to one repository make one repository."""
    new = RepositoryName("new")
    await after(registry, push_blob("one", new), push_blob("two", new))
    for name in ("one", "two"):
        assert await blobs.size(registry, new, blob_digest(name)) == len(blob(name))


# All of it at once

NAMES: Final = ["config", "base", "code", "lonely"]
IMAGES: Final = [IMAGE, OTHER, LONELY]
PUSHERS: Final = 6
DEEDS: Final = 25


@dataclass
class Somebody:
    """Pushes, mounts and deletes at random, and is content with any refusal that a client can be told."""

    registry: Registry
    dice: random.Random

    async def work(self) -> None:
        """Do many deeds; an error that is no refusal comes out."""
        for _ in range(DEEDS):
            deed = self.dice.choice(
                [self.push, self.push, self.push_index, self.delete_blob, self.delete, self.mount]
            )
            try:
                await deed()
            except (BlobReferenced, BlobUnknown, ManifestBlobUnknown, ManifestUnknown):
                continue

    async def push(self) -> None:
        """An image as a client does it: blobs, manifest, tag."""
        await push_blobs(self.registry, APP, *self.dice.sample(NAMES, len(NAMES)))
        await push_manifest(self.registry, APP, self.dice.choice(IMAGES), self.dice.choice(["latest", "v1"]))

    async def push_index(self) -> None:
        """An index of all images."""
        await push_manifest(self.registry, APP, index(*self.dice.sample(IMAGES, 2)), "index")

    async def delete_blob(self) -> None:
        """One of the blobs."""
        await blobs.delete(self.registry, APP, blob_digest(self.dice.choice(NAMES)))

    async def delete(self) -> None:
        """A manifest, or a tag."""
        reference = self.dice.choice([LATEST, Tag("v1"), *map(digest, IMAGES)])
        await manifests.delete(self.registry, APP, reference)

    async def mount(self) -> None:
        """One of the blobs, and then an image that may need it."""
        await mounts.mount(self.registry, COPY, blob_digest(self.dice.choice(NAMES)), APP, ANYBODY)
        await push_manifest(self.registry, COPY, self.dice.choice(IMAGES), "latest")


@pytest.mark.parametrize("seed", range(2))
async def test_all_at_once(tables_url: str, seed: int) -> None:
    """Many push and delete the same few things through two registries: whatever they are told, there is no hole."""
    store = MemoryStore()
    with closing(open_database(tables_url)) as one, closing(open_database(tables_url)) as two:
        registries = [registry_on(one, store), registry_on(two, store)]
        crowd = [
            Somebody(registries[number % 2], random.Random(100 * seed + number))  # noqa: S311 - no secret
            for number in range(PUSHERS)
        ]
        await asyncio.gather(*(somebody.work() for somebody in crowd))
        assert await problems(registries[0]) == []


async def test_blob_is_pushed_by_many(tables_url: str) -> None:
    """Many push the same blob at the same moment; it is there once, and nobody is refused."""
    store = MemoryStore()
    with closing(open_database(tables_url)) as database:
        registry = registry_on(database, store)
        pushes = (
            uploads.push(registry, repository, blob_digest("base"), stream(blob("base")))
            for repository in [APP, COPY] * 5
        )
        await asyncio.gather(*pushes)
        assert await problems(registry) == []
        assert sorted(await database.read(rows.repositories_with, blob_digest("base"), 10)) == [APP, COPY]
