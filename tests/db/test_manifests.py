"""Manifests and tags."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from registry.db import manifests, repositories, tags
from registry.oci.manifest import Manifest
from registry.oci.media_types import DOCKER_IMAGE, OCI_IMAGE
from registry.oci.names import RepositoryName, Tag
from tests.db.rows import APP, COPY, push_image, push_manifest
from tests.support import images

if TYPE_CHECKING:
    from registry.db.database import Database
    from registry.db.manifests import StoredManifest
    from registry.oci.names import Reference

pytestmark = pytest.mark.anyio

LATEST, OLD = Tag("latest"), Tag("old")


async def find(
    database: Database, reference: Reference, repository: RepositoryName = APP, *, head: bool = False
) -> StoredManifest | None:
    """The manifest that the reference leads to."""
    return await database.read(manifests.find, repository, reference, head=head)


async def test_found_by_tag_and_by_digest(database: Database) -> None:
    """A manifest is found by its tags and by its digest, byte for byte as it was pushed, in its repository alone."""
    image = images.image("base")
    digest = await database.write(push_manifest, APP, image, "latest", "v1")
    await database.write(repositories.ensure, COPY)
    for reference in (digest, LATEST, Tag("v1")):
        found = await find(database, reference)
        assert found
        assert (found.digest, found.media_type, found.size) == (digest, OCI_IMAGE, len(image.content))
        assert found.content == image.content
        assert await find(database, reference, COPY) is None
        assert await find(database, reference, head=True) == replace(found, content=None)


async def test_not_found(database: Database) -> None:
    """Nothing is found under tags and digests that were not pushed; case matters."""
    await database.write(push_image, APP, "base")
    for reference in (OLD, Tag("Latest"), images.blob_digest("base")):
        assert await find(database, reference) is None
    assert await find(database, LATEST, RepositoryName("none")) is None


async def test_any_bytes(database: Database) -> None:
    """Content is kept whatever bytes it has, NUL and 4 MiB included."""
    for padding in ("\\u0000\\ud800", "é" * 1000, "x" * 4_000_000):
        content = json.dumps(json.loads(images.image("base").content) | {"x": 0}).replace(
            "0}", f'"{padding}"}}'
        )
        manifest = Manifest.parse(content.encode(), OCI_IMAGE)
        digest = await database.write(push_manifest, APP, manifest)
        found = await find(database, digest)
        assert found
        assert found.content == content.encode()


async def test_same_manifest_in_two_repositories(database: Database) -> None:
    """A manifest in two repositories is deleted in one of them alone."""
    digest = await database.write(push_image, APP, "base")
    await database.write(push_image, COPY, "base")
    assert await database.write(manifests.delete_manifest, APP, digest) is True
    assert await find(database, digest) is None
    assert await find(database, LATEST, COPY) is not None


async def test_pushed_again(database: Database) -> None:
    """A manifest pushed again is one manifest, with the type of the last push, and keeps its tags."""
    document = json.loads(images.image("base").content)
    del document["mediaType"]
    content = json.dumps(document).encode()
    digest = await database.write(push_manifest, APP, Manifest.parse(content, OCI_IMAGE), "latest")
    await database.write(push_manifest, APP, Manifest.parse(content, DOCKER_IMAGE), "old")
    for reference in (digest, LATEST, OLD):
        found = await find(database, reference)
        assert found
        assert found.media_type == DOCKER_IMAGE


async def test_tag_moves(database: Database) -> None:
    """A tag points to what it was last pushed with; what it pointed to before stays, by its digest."""
    old = await database.write(push_image, APP, "base")
    new = await database.write(push_image, APP, "code")
    found = await find(database, LATEST)
    assert found
    assert found.digest == new
    assert await find(database, old) is not None


async def test_delete_tag(database: Database) -> None:
    """Deleting a tag deletes that tag, of that repository, and nothing else."""
    digest = await database.write(push_image, APP, "base")
    await database.write(push_image, APP, "base", tag="old")
    await database.write(push_image, COPY, "base")
    assert await database.write(tags.delete_tag, APP, LATEST) is True
    assert await database.write(tags.delete_tag, APP, LATEST) is False
    assert await database.write(tags.delete_tag, RepositoryName("none"), LATEST) is False
    assert await find(database, LATEST) is None
    for reference, repository in ((OLD, APP), (digest, APP), (LATEST, COPY)):
        assert await find(database, reference, repository) is not None


async def test_delete_manifest(database: Database) -> None:
    """Deleting a manifest deletes the tags that point to it, and no others."""
    digest = await database.write(push_image, APP, "base")
    await database.write(push_image, APP, "base", tag="v1")
    await database.write(push_image, APP, "code", tag="old")
    assert await database.write(manifests.delete_manifest, APP, digest) is True
    assert await database.write(manifests.delete_manifest, APP, digest) is False
    repository_id = await database.read(repositories.find, APP)
    assert repository_id
    assert await database.read(tags.page, repository_id, "", 10) == [OLD]


async def test_hold(database: Database) -> None:
    """Held are those of the digests that are manifests of the repository, however many are asked for."""
    one = await database.write(push_image, APP, "base")
    two = await database.write(push_image, APP, "code")
    elsewhere = await database.write(push_image, COPY, "base", "code")
    repository_id = await database.read(repositories.find, APP)
    assert repository_id
    wanted = [one, two, elsewhere, *(images.blob_digest(str(number)) for number in range(1200))]
    held = await database.write(manifests.hold, repository_id, wanted)
    assert held.keys() == {one, two}
    for digest, size in held.items():
        found = await database.read(manifests.find, APP, digest, head=True)
        assert found
        assert found.size == size
    assert await database.write(manifests.hold, repository_id, []) == {}
