"""Lists: in byte order on both databases, and in pages that neither repeat nor leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import Connection

from registry.db import referrers, repositories, tags
from registry.db.referrers import ReferrersOf
from registry.oci.names import RepositoryName, Tag
from tests.db.rows import APP, COPY, push_image, push_manifest
from tests.support import images

if TYPE_CHECKING:
    from registry.db.database import Database
    from registry.oci.manifest import Manifest

pytestmark = pytest.mark.anyio

# In the order of their bytes: capitals before '_' before small letters, where people's collations mix them.
TAGS: Final = [
    *[
        "0",
        "1.0",
        "1.0-rc",
        "10",
        "2",
        "A",
        "B",
        "V1",
        "Z",
        "_",
        "_a",
        "a",
        "a-b",
        "a.b",
        "aB",
        "a_b",
        "ab",
        "v1",
        "z",
    ]
]
NAMES: Final = ["a", "a-b", "a.b", "a/b", "a/b-c", "a/b/c", "a0", "a_b", "aa", "ab/c", "b"]


def put_tags(connection: Connection, names: list[str]) -> int:
    """A repository with these tags; its id."""
    push_image(connection, APP, "base", tag="a")
    for name in names:
        push_manifest(connection, APP, images.image("base", annotations={"note": ""}), name)
    found = repositories.find(connection, APP)
    assert found
    return found


def put_repositories(connection: Connection) -> None:
    """Repositories, made in another order than that of their names."""
    for name in reversed(NAMES):
        repositories.ensure(connection, RepositoryName(name))


async def test_tags_in_byte_order(database: Database) -> None:
    """Tags come in the order of their bytes."""
    repository_id = await database.write(put_tags, TAGS[::-1])
    assert await database.read(tags.page, repository_id, "", 100) == TAGS


async def test_repositories_in_byte_order(database: Database) -> None:
    """Repositories come in the order of their bytes."""
    await database.write(put_repositories)
    assert await database.read(repositories.page, "", 100) == NAMES


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_pages(database: Database, size: int) -> None:
    """Pages of any size, one behind the other, make up the whole list."""
    repository_id = await database.write(put_tags, TAGS)
    await database.write(put_repositories)
    listed: list[str] = []
    while page := await database.read(tags.page, repository_id, listed[-1] if listed else "", size):
        assert len(page) <= size
        listed += page
    assert listed == TAGS
    behind_app = await database.read(repositories.page, "b", 100)
    assert behind_app == [APP]


@pytest.mark.parametrize("last", ["", "0", "5", "Z", "a", "a.", "zz", "é", "\x7f", "\U0001f600", "A" * 1000])
async def test_behind_what_is_not_there(database: Database, last: str) -> None:
    """A list goes on behind any text, whether there is such an entry or not."""
    repository_id = await database.write(put_tags, TAGS)
    await database.write(put_repositories)
    after = [tag for tag in TAGS if tag.encode() > last.encode()]
    assert await database.read(tags.page, repository_id, last, 100) == after
    names = [name for name in [*NAMES, APP] if name.encode() > last.encode()]
    assert await database.read(repositories.page, last, 100) == names


async def test_tags_of_one_repository(database: Database) -> None:
    """A list holds the tags of its repository alone."""
    repository_id = await database.write(put_tags, ["v1"])
    await database.write(push_image, COPY, "base", tag="elsewhere")
    assert await database.read(tags.page, repository_id, "", 100) == ["a", "v1"]


async def test_ensure(database: Database) -> None:
    """A repository is made once, and then found; names that differ in case are different."""
    assert await database.read(repositories.find, APP) is None
    made = await database.write(repositories.ensure, APP)
    assert await database.write(repositories.ensure, APP) == made
    assert await database.read(repositories.find, APP) == made
    assert await database.read(repositories.find, RepositoryName("TEAM/APP")) is None


SUBJECT = images.image("base")
REFERRERS: Final = sorted(
    [images.image(artifact_type="test/one", subject=SUBJECT, annotations={"n": str(n)}) for n in range(4)]
    + [images.index(artifact_type="test/two", subject=SUBJECT, annotations={"ü": "\0\ud800"})]
    + [images.image(subject=SUBJECT)],
    key=images.digest,
)


def put_referrers(connection: Connection) -> None:
    """Referrers of a manifest that is not there itself, and some that are not to be found."""
    for manifest in REFERRERS[::-1]:
        push_manifest(connection, APP, manifest)
    push_manifest(
        connection, COPY, images.image(artifact_type="test/one", subject=SUBJECT, annotations={"x": ""})
    )
    push_manifest(connection, APP, images.image(artifact_type="test/one", subject=images.image("code")))
    push_manifest(connection, APP, images.image(artifact_type="test/one"))


async def listed(
    database: Database, artifact_type: str | None, last: str = "", limit: int = 100
) -> list[str]:
    """The digests of referrers behind `last`."""
    subject = images.digest(SUBJECT)
    keys = await database.read(referrers.keys, ReferrersOf(APP, subject, artifact_type), last, limit)
    return [entry.digest for entry in await database.read(referrers.fetch, [key.manifest_id for key in keys])]


def digests(artifact_type: str | None) -> list[str]:
    """The digests that should be listed."""
    return [
        images.digest(manifest) for manifest in REFERRERS if artifact_type in {None, manifest.artifact_type}
    ]


@pytest.mark.parametrize("artifact_type", [None, "test/one", "test/two", images.CONFIG_TYPE, "test/none"])
async def test_referrers(database: Database, artifact_type: str | None) -> None:
    """Listed are the manifests of the repository with this subject and type, in the order of their digests."""
    await database.write(put_referrers)
    assert await listed(database, artifact_type) == digests(artifact_type)


@pytest.mark.parametrize("size", [1, 2, 4])
async def test_referrers_in_pages(database: Database, size: int) -> None:
    """Pages of referrers, one behind the other, make up the whole list."""
    await database.write(put_referrers)
    found: list[str] = []
    while page := await listed(database, None, found[-1] if found else "", size):
        found += page
    assert found == digests(None)


async def test_referrer_is_described(database: Database) -> None:
    """A referrer comes with its type, size and annotations, of any text."""
    await database.write(put_referrers)
    wanted = ReferrersOf(APP, images.digest(SUBJECT), "test/two")
    keys = await database.read(referrers.keys, wanted, "", 10)
    [entry] = await database.read(referrers.fetch, [key.manifest_id for key in keys])
    index: Manifest = next(manifest for manifest in REFERRERS if manifest.artifact_type == "test/two")
    assert (entry.media_type, entry.size) == (index.media_type, len(index.content))
    assert (entry.artifact_type, entry.annotations) == ("test/two", {"ü": "\0\ud800"})
    assert keys[0].annotations_bytes > len("ü") + len("\0\ud800")


async def test_tag_in_name_order_is_a_tag(database: Database) -> None:
    """What lists give are tags and names, as if they had been parsed."""
    repository_id = await database.write(put_tags, [])
    assert [type(tag) for tag in await database.read(tags.page, repository_id, "", 1)] == [Tag]
    assert [type(name) for name in await database.read(repositories.page, "", 1)] == [RepositoryName]
