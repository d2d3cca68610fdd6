"""Mounts: what a principal can see is given on; what it cannot see is as if it were not there."""

from __future__ import annotations

import pytest

from registry.db import repositories
from registry.oci.access import Action, Principal, User
from registry.oci.errors import BlobUnknown
from registry.oci.names import RepositoryName
from registry.operations import blobs, mounts
from registry.operations.registry import Registry
from registry.policy.access import AccessRules
from tests.support.images import blob, blob_digest
from tests.support.registries import ANYBODY, APP, COPY, problems, push_blobs, read_blob

pytestmark = pytest.mark.anyio

BASE = blob_digest("base")
SECRET = RepositoryName("secret/app")


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide one repository from everybody, as rules for each repository will do one day."""
    may = mounts.may

    def may_not_see(
        rules: AccessRules, principal: Principal, action: Action, repository: RepositoryName | None
    ) -> bool:
        return repository != SECRET and may(rules, principal, action, repository)

    monkeypatch.setattr(mounts, "may", may_not_see)


async def mount(registry: Registry, source: RepositoryName | None, principal: Principal = ANYBODY) -> bool:
    """Mount the blob "base" into the copy."""
    return await mounts.mount(registry, COPY, BASE, source, principal)


async def test_mount_from_a_source(registry: Registry) -> None:
    """A blob of the source is seen in both, and no bytes are copied."""
    await push_blobs(registry, APP, "base")
    assert await mount(registry, APP) is True
    for repository in (APP, COPY):
        assert await read_blob(registry, repository, BASE) == blob("base")
    assert [stored.digest async for stored in registry.store.blobs()] == [BASE]
    assert await problems(registry) == []


async def test_mount_from_anywhere(registry: Registry) -> None:
    """Without a source, any repository that has the blob will do."""
    assert await mount(registry, None) is False
    await push_blobs(registry, APP, "base")
    assert await mount(registry, None) is True
    assert await blobs.size(registry, COPY, BASE) == len(blob("base"))


async def test_mount_onto_itself(registry: Registry) -> None:
    """A blob that is there already can be mounted from where it is."""
    await push_blobs(registry, COPY, "base")
    assert await mount(registry, COPY) is True
    assert await mount(registry, None) is True


@pytest.mark.parametrize("source", [APP, RepositoryName("none"), None])
async def test_nothing_to_mount(registry: Registry, source: RepositoryName | None) -> None:
    """What no source has is not mounted, and no repository comes into being for it."""
    await push_blobs(registry, APP, "code")
    assert await mount(registry, source) is False
    assert await registry.database.read(repositories.find, COPY) is None


async def test_deleted_blob(registry: Registry) -> None:
    """A blob that was deleted in the source is not mounted from it, though its bytes are still in the store."""
    await push_blobs(registry, APP, "base")
    await blobs.delete(registry, APP, BASE)
    assert await mount(registry, APP) is False
    assert await mount(registry, None) is False
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, COPY, BASE)


@pytest.mark.usefixtures("hidden")
@pytest.mark.parametrize("source", [SECRET, None])
async def test_hidden_source(registry: Registry, source: RepositoryName | None) -> None:
    """A repository that the principal may not pull from is as good as one that has no such blob."""
    await push_blobs(registry, SECRET, "base")
    assert await mount(registry, source) is False
    assert await registry.database.read(repositories.find, COPY) is None


@pytest.mark.usefixtures("hidden")
async def test_hidden_among_others(registry: Registry) -> None:
    """Where one repository that has the blob is hidden and another is not, the other is the source."""
    await push_blobs(registry, SECRET, "base")
    await push_blobs(registry, APP, "base")
    assert await mount(registry, SECRET) is False
    assert await mount(registry, None) is True


CLOSED = AccessRules(open_to_all=False, readers=frozenset({"reader"}))


@pytest.mark.parametrize(
    ("principal", "expected"), [(ANYBODY, False), (User("reader"), True), (User("writer"), True)]
)
@pytest.mark.parametrize("source", [APP, None])
async def test_real_rules(
    registry: Registry,
    principal: Principal,
    expected: bool,  # noqa: FBT001
    source: RepositoryName | None,
) -> None:
    """The rules that the registry runs with decide: who may pull may mount from there."""
    await push_blobs(registry, APP, "base")
    closed = Registry(registry.database, registry.store, CLOSED, registry.settings)
    assert await mount(closed, source, principal) is expected
