"""Blobs, and which repository sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection

from registry.db import blobs, repositories
from registry.oci.manifest import Descriptor
from registry.oci.names import RepositoryName
from tests.db.rows import APP, COPY, push_blobs, push_image
from tests.support.images import blob, blob_digest

if TYPE_CHECKING:
    from registry.db.database import Database

pytestmark = pytest.mark.anyio

BASE, CODE = blob_digest("base"), blob_digest("code")


async def test_only_who_pushed_sees(database: Database) -> None:
    """A blob is seen in the repository that it was pushed to, and in no other."""
    await database.write(push_blobs, APP, "base")
    await database.write(repositories.ensure, COPY)
    assert await database.read(blobs.size_in, APP, BASE) == len(blob("base"))
    assert await database.read(blobs.size_in, COPY, BASE) is None
    assert await database.read(blobs.size_in, RepositoryName("none"), BASE) is None
    assert await database.read(blobs.size_in, APP, CODE) is None


async def test_pushed_twice(database: Database) -> None:
    """A blob pushed again, to the same repository or another, is one blob."""
    for repository in (APP, APP, COPY):
        await database.write(push_blobs, repository, "base")
    assert sorted(await database.read(blobs.repositories_with, BASE, 10)) == [APP, COPY]
    assert len(await database.read(blobs.repositories_with, BASE, 1)) == 1
    assert await database.read(blobs.repositories_with, CODE, 10) == []


async def test_bytes_are_gone(database: Database) -> None:
    """A blob whose bytes are gone is seen nowhere, and everywhere again once it is pushed anywhere."""
    for repository in (APP, COPY):
        await database.write(push_blobs, repository, "base")
    assert await database.write(blobs.mark_absent, BASE, await database.read(blobs.publications, BASE))
    for repository in (APP, COPY):
        assert await database.read(blobs.size_in, repository, BASE) is None
    assert await database.read(blobs.repositories_with, BASE, 10) == []
    await database.write(push_blobs, APP, "base")
    for repository in (APP, COPY):
        assert await database.read(blobs.size_in, repository, BASE) == len(blob("base"))


async def test_bytes_are_back_already(database: Database) -> None:
    """Who found the bytes gone before somebody pushed them again changes nothing; what was never pushed counts 0."""
    assert await database.read(blobs.publications, BASE) == 0
    await database.write(push_blobs, APP, "base")
    found_at = await database.read(blobs.publications, BASE)
    await database.write(push_blobs, COPY, "base")
    assert not await database.write(blobs.mark_absent, BASE, found_at)
    assert await database.read(blobs.size_in, APP, BASE) == len(blob("base"))


async def test_mount(database: Database) -> None:
    """A mounted blob is seen in both repositories; what the source does not see is not mounted."""

    def mount(connection: Connection, source: RepositoryName) -> int | None:
        return blobs.mount(connection, source, BASE, repositories.ensure(connection, COPY))

    assert await database.write(mount, APP) is None
    await database.write(push_blobs, APP, "base")
    assert await database.write(mount, RepositoryName("none")) is None
    assert await database.read(blobs.size_in, COPY, BASE) is None
    for _ in range(2):
        assert await database.write(mount, APP) == len(blob("base"))
    assert await database.read(blobs.size_in, COPY, BASE) == len(blob("base"))


async def test_hold(database: Database) -> None:
    """Held are those of the blobs that the repository sees, however many are asked for."""

    def hold(connection: Connection, repository: RepositoryName) -> set[str]:
        wanted = [
            BASE,
            CODE,
            blob_digest("lost"),
            *(blob_digest(f"other {number}") for number in range(1200)),
        ]
        return set(blobs.hold(connection, repositories.ensure(connection, repository), wanted))

    await database.write(push_blobs, APP, "base", "lost", "other 3", "other 1100")
    await database.write(push_blobs, COPY, "code")
    assert await database.write(blobs.mark_absent, blob_digest("lost"), 1)
    assert await database.write(hold, APP) == {BASE, blob_digest("other 3"), blob_digest("other 1100")}
    assert await database.write(hold, COPY) == {CODE}


async def test_expected_blob(database: Database) -> None:
    """A blob that is named and was never pushed is seen by nobody; it is one with the blob that is pushed then."""
    descriptor = Descriptor("text/plain", BASE, 5)
    expected = await database.write(blobs.expect, descriptor)
    assert await database.write(blobs.expect, descriptor) == expected
    await database.write(repositories.ensure, APP)
    assert await database.read(blobs.size_in, APP, BASE) is None
    await database.write(push_blobs, APP, "base")
    assert await database.read(blobs.size_in, APP, BASE) == len(blob("base"))
    assert await database.write(blobs.expect, descriptor) == expected


async def test_unlink(database: Database) -> None:
    """A repository that no longer sees a blob is the only one; who names the blob there is told before."""

    def named(connection: Connection, repository: RepositoryName) -> list[str]:
        link = blobs.hold_to_unlink(connection, repository, BASE)
        assert link
        return blobs.manifests_naming(connection, *link, 10)

    def unlink(connection: Connection, repository: RepositoryName) -> None:
        link = blobs.hold_to_unlink(connection, repository, BASE)
        assert link
        blobs.unlink(connection, *link)

    digest = await database.write(push_image, APP, "base")
    await database.write(push_blobs, COPY, "base")
    assert await database.write(named, APP) == [digest]
    assert await database.write(named, COPY) == []
    await database.write(unlink, COPY)
    assert await database.read(blobs.size_in, COPY, BASE) is None
    assert await database.read(blobs.size_in, APP, BASE) is not None
    assert await database.write(blobs.hold_to_unlink, COPY, BASE) is None


async def test_naming_manifests_are_limited(database: Database) -> None:
    """Of many manifests that name a blob, as many are told as are asked for."""
    for number in range(5):
        await database.write(push_image, APP, "base", annotation=str(number))

    def named(connection: Connection) -> list[str]:
        link = blobs.hold_to_unlink(connection, APP, BASE)
        assert link
        return blobs.manifests_naming(connection, *link, 3)

    assert len(await database.write(named)) == 3
