"""A lost database is made anew of what the store tells of itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from registry.db import journal as rows
from registry.oci.names import Tag
from registry.operations import blobs, describing, manifests
from registry.operations.backup import NotEmpty
from registry.operations.describing import GAP, save_snapshot
from registry.operations.rebuilding import CannotRebuild, RebuildReport, rebuild
from registry.storage.filesystem import FilesystemStore
from registry.storage.journal import Line, Snapshot
from tests.operations.conftest import new_store
from tests.operations.machine import RegistryMachine, observed
from tests.operations.test_machine import Pair
from tests.support.entries import content
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
from tests.support.tables import empty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from registry.oci.names import RepositoryName
    from registry.operations.entries import Entry
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

IMAGE = image("base", "code")


async def lose_and_rebuild(registry: Registry, before: float | None = None) -> RebuildReport:
    """Let the database be empty, and rebuild it."""
    empty(registry.database)
    return await rebuild(registry, lambda *_: None, before)


async def told(registry: Registry) -> list[Entry]:
    """All that the database says, but for the moments at which it was said."""
    return sorted((replace(entry, at_us=0) for entry in await content(registry)), key=repr)


class RebuildingMachine(RegistryMachine):
    """After whatever was done, with snapshots in between, the database is lost and rebuilt."""

    @rule()
    def save_snapshot(self) -> None:
        """A snapshot changes nothing that a client sees."""
        self.run(save_snapshot(self.registry))

    def teardown(self) -> None:
        """Manifests and tags are as they were; no repository sees what it did not, and all that is named is seen."""
        if hasattr(self, "registry"):
            report = self.run(lose_and_rebuild(self.registry))
            assert report.problems == []
            found = self.run(self.registry.database.read(observed))
            expected = self.expected()
            assert found.keys() <= expected.keys()
            for name, wanted in expected.items():
                self.compare(name, wanted, found.get(name, ({}, {}, {})))
        super().teardown()

    def compare(self, name: RepositoryName, wanted: Any, found: Any) -> None:
        """One repository."""
        assert found[1:] == wanted[1:]
        assert found[0].items() <= wanted[0].items()
        repository = self.model.get(name)
        assert {one for one in repository.blobs if repository.naming(one)} <= found[0].keys()


@pytest.mark.parametrize("kind", ["memory", "filesystem", "objects"])
def test_rebuilt_is_as_the_model(
    kind: str, tables_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever was done, with or without snapshots: the rebuilt database has the same manifests and tags."""
    pair = Pair(lambda: new_store(kind, tmp_path / "blobs", request), tables_url, tmp_path / "blobs")
    run_state_machine_as_test(
        lambda: RebuildingMachine(pair),
        settings=settings(
            max_examples=8,
            stateful_step_count=30,
            deadline=None,  # how fast a machine is proves nothing
            suppress_health_check=list(HealthCheck),
            phases=[phase for phase in Phase if phase != Phase.explain],
        ),
    )


async def fill(registry: Registry) -> None:
    """Images, an index, moved and deleted tags, a deleted manifest, an image in two repositories."""
    await push_image(registry, APP, IMAGE, "v1", "latest")
    await push_image(registry, APP, image("base"), "latest", "old")
    await push_manifest(registry, APP, index(IMAGE, image("base")), "index")
    await push_image(registry, COPY, IMAGE, "v1")
    await manifests.delete(registry, APP, Tag("old"))
    await push_blobs(registry, COPY, "gone")
    await push_manifest(registry, COPY, image("gone", config="gone"), "gone")
    await manifests.delete(registry, COPY, digest(image("gone", config="gone")))
    await blobs.delete(registry, COPY, blob_digest("gone"))


@pytest.mark.parametrize("when", ["never", "before", "between", "after"])
async def test_all_is_as_it_was(registry: Registry, when: str) -> None:
    """What the journal tells, what a snapshot tells, and both together make the same database, complete and readable."""
    if when == "before":
        await save_snapshot(registry)
    await fill(registry)
    if when == "between":
        await save_snapshot(registry)
    await push_image(registry, APP, image("code"), "v2")
    if when == "after":
        await save_snapshot(registry)
    before = await told(registry)
    report = await lose_and_rebuild(registry)
    assert report.problems == []
    assert (report.entries == 0, report.snapshot is None) == (when == "after", when == "never")
    assert await told(registry) == before
    assert await problems(registry) == []
    assert await read_blob(registry, APP, blob_digest("base")) == blob("base")


async def test_twice(registry: Registry) -> None:
    """What was rebuilt goes on, and can be lost and rebuilt again: no number is given a second time."""
    await push_image(registry, APP, IMAGE, "v1")
    first = await lose_and_rebuild(registry)
    await push_image(registry, APP, image("base"), "v1", "v2")
    second_state = await told(registry)
    second = await lose_and_rebuild(registry)
    assert second.reached > first.reached + GAP
    assert await told(registry) == second_state


async def test_incomplete_manifest(registry: Registry) -> None:
    """What was accepted without all that it names is so again: its repository sees what it saw, and no more."""
    lenient = changed(registry, missing_references_allowed=True)
    await push_blobs(registry, APP, "base")
    await push_blobs(registry, COPY, "code")
    await push_manifest(lenient, APP, IMAGE, "sparse")
    before = await told(registry)
    assert (await lose_and_rebuild(registry)).problems == []
    wanted = [entry for entry in before if "code" not in repr(entry) and entry.repository == APP]
    assert [entry for entry in await told(registry) if entry.repository == APP] == wanted


async def test_missing_blob(registry: Registry) -> None:
    """A blob that a manifest names and the store has lost is named; all else is rebuilt, and a push brings it back."""
    await push_image(registry, APP, IMAGE, "v1")
    await registry.store.delete(blob_digest("code"))
    report = await lose_and_rebuild(registry)
    [problem] = report.problems
    assert str(blob_digest("code")) in problem
    assert (await manifests.get(registry, APP, Tag("v1"))).digest == digest(IMAGE)
    await push_blobs(registry, APP, "code")
    assert await problems(registry) == []


async def test_unreadable_entry(registry: Registry) -> None:
    """An entry that cannot be read is named with its number, and the others count."""
    await push_image(registry, APP, IMAGE, "v1")
    await registry.store.journal.append([Line(10_000, b'{"entry":"from the future"}')])
    report = await lose_and_rebuild(registry)
    [problem] = report.problems
    assert problem.startswith("journal, entry 10000: ")
    assert report.entries == 2
    assert await problems(registry) == []


@pytest.mark.parametrize("registry", ["filesystem+sqlite"], indirect=True)
async def test_damaged_line(registry: Registry) -> None:
    """A line of the journal that has rotted is a problem, not a push fewer."""
    for tag in ("v1", "v2", "v3"):
        await push_image(registry, APP, IMAGE, tag)
    assert isinstance(registry.store, FilesystemStore)
    [part] = [path for folder in registry.store.journal.folders for path in folder.iterdir()]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    report = await lose_and_rebuild(registry)
    [problem] = report.problems
    assert problem.startswith(f"{part}: 1 lines are damaged")
    assert report.entries == 2


@pytest.mark.parametrize("registry", ["filesystem+sqlite", "objects+postgres"], indirect=True)
async def test_two_databases(registry: Registry) -> None:
    """Where two databases have written to one journal, what both tell is rebuilt, and it is said."""
    await push_image(registry, APP, IMAGE, "v1")
    await push_image(registry, APP, IMAGE, "v2")
    empty(registry.database)  # another one: it gives the same numbers again
    await push_image(registry, COPY, IMAGE, "v1")
    report = await lose_and_rebuild(registry)
    [problem] = report.problems
    assert problem.startswith("two databases have written to this journal: 1 numbers")
    for repository, tag in ((APP, "v1"), (APP, "v2"), (COPY, "v1")):
        assert (await manifests.get(registry, repository, Tag(tag))).digest == digest(IMAGE)


async def test_database_with_something_in_it(registry: Registry) -> None:
    """A database that holds anything is left as it is."""
    await push_image(registry, APP, IMAGE, "v1")
    before = await content(registry)
    with pytest.raises(NotEmpty):
        await rebuild(registry, lambda *_: None)
    assert await content(registry) == before


async def test_store_that_tells_nothing(registry: Registry) -> None:
    """Where there is neither a journal nor a snapshot, this is said."""
    with pytest.raises(CannotRebuild, match="neither a snapshot nor a journal"):
        await rebuild(registry, lambda *_: None)


async def test_no_snapshot_is_that_old(registry: Registry) -> None:
    """Asked for a snapshot that is older than all, it names those that there are, and does nothing."""
    await push_image(registry, APP, IMAGE, "v1")
    await save_snapshot(registry)
    with pytest.raises(CannotRebuild, match=r"no snapshot is that old; there are those of \(UTC\): 20"):
        await lose_and_rebuild(registry, 1.0)
    assert await content(registry) == []


async def damaged(registry: Registry, until: int, cut: int) -> None:
    """Save a snapshot whose last bytes are missing."""
    newest = await describing.newest_snapshot(registry)
    assert newest
    whole = b"".join([piece async for piece in registry.store.journal.read(newest)])

    async def pieces() -> AsyncIterator[bytes]:
        yield whole[:-cut]

    await registry.store.journal.save(until, pieces())


@pytest.mark.parametrize("cut", [1, 20, 100])
async def test_damaged_snapshot(registry: Registry, cut: int) -> None:
    """A snapshot of which a part is missing is refused by name, and an older one can be begun with."""
    await push_image(registry, APP, IMAGE, "v1")
    await save_snapshot(registry)
    await push_image(registry, APP, image("base"), "v1")
    good = await describing.newest_snapshot(registry)
    assert good
    before = await told(registry)
    await damaged(registry, 10**6, cut)
    bad = await describing.newest_snapshot(registry)
    assert bad
    assert bad != good
    with pytest.raises(CannotRebuild, match=f"the snapshot {bad.name} is no good"):
        await lose_and_rebuild(registry)
    assert await content(registry) == []
    if bad.saved_at > good.saved_at:
        await lose_and_rebuild(registry, (bad.saved_at + good.saved_at) / 2)
        assert await told(registry) == before


async def test_empty_registry_was_filled_by_mistake(registry: Registry) -> None:
    """Where journals of before and after a lost database are in one store: from a snapshot of before, both are there."""
    await push_image(registry, APP, IMAGE, "v1")
    await save_snapshot(registry)
    lost = await newest(registry)
    lost_at = lost.saved_at + 0.5
    empty(registry.database)
    await registry.database.write(
        rows.advance, lost.until + GAP
    )  # as registries did that started nevertheless
    await push_image(registry, COPY, image("base"), "new")
    await asyncio.sleep(1.1)  # object storage tells whole seconds
    await describing.describe(registry)
    assert (await newest(registry)).until > GAP
    await lose_and_rebuild(registry)
    assert {entry.repository for entry in await told(registry)} == {COPY}
    await lose_and_rebuild(registry, lost_at)
    assert {entry.repository for entry in await told(registry)} == {APP, COPY}
    assert await problems(registry) == []


async def newest(registry: Registry) -> Snapshot:
    """The newest snapshot."""
    found = await describing.newest_snapshot(registry)
    assert found
    return found


async def test_ids_are_beyond_what_was_seen(registry: Registry) -> None:
    """After a rebuild, ids go on behind the greatest that the journal has, with room for one that was overlooked."""
    await push_image(registry, APP, IMAGE, "v1")
    report = await lose_and_rebuild(registry)
    assert await registry.database.read(rows.highest) == report.reached + GAP
