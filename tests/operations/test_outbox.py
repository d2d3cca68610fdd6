"""Nobody is told that something has happened before it stands in the journal beside the blobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, select

from registry.db.schema import journal as table
from registry.oci.errors import StorageFull, Unavailable
from registry.oci.names import Tag
from registry.operations import blobs, manifests, outbox
from registry.operations.entries import (
    BlobLinked,
    BlobUnlinked,
    Entry,
    ManifestDeleted,
    ManifestStored,
    TagDeleted,
    parse,
)
from registry.operations.outbox import Outbox
from registry.storage.journal import Line
from registry.storage.memory_journal import MemoryJournal
from tests.support.images import blob_digest, digest, image
from tests.support.registries import APP, changed, push_blobs, push_image, push_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

IMAGE = image("base", "code")


async def journaled(registry: Registry) -> list[Entry]:
    """What the store's journal tells, in order."""
    lines = {line.id: line async for line in registry.store.journal.lines(0)}
    return [parse(lines[number].text) for number in sorted(lines)]


def waiting(connection: Connection) -> list[int]:
    """The ids of the rows that are in the outbox."""
    return list(connection.scalars(select(table.c.id)))


class SlowJournal(MemoryJournal):
    """Writes when it is told to, and counts how often; `error`: what happens then."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.portions: list[list[int]] = []
        self.error: Exception | None = None

    async def append(self, lines: Sequence[Line]) -> None:
        self.portions.append([line.id for line in lines])
        await self.go_on.wait()
        if self.error:
            raise self.error
        await super().append(lines)


async def test_what_is_told(registry: Registry) -> None:
    """Each push and each deletion is an entry by the time it is acknowledged, in the order in which they happened."""
    await push_image(registry, APP, IMAGE, "v1", "v2")
    await manifests.delete(registry, APP, Tag("v1"))
    await manifests.delete(registry, APP, digest(IMAGE))
    await blobs.delete(registry, APP, blob_digest("base"))
    stored, *deleted = await journaled(registry)
    assert isinstance(stored, ManifestStored)
    assert (stored.repository, stored.digest, stored.content) == (APP, digest(IMAGE), IMAGE.content)
    assert (stored.complete, stored.tags) == (True, ("v1", "v2"))
    assert deleted == [
        TagDeleted(APP, Tag("v1")),
        ManifestDeleted(APP, digest(IMAGE)),
        BlobUnlinked(APP, blob_digest("base")),
    ]


async def test_incomplete_manifest(registry: Registry) -> None:
    """Of a manifest that was accepted without all that it names, it is told which blobs its repository sees."""
    await push_blobs(registry, APP, "base")
    lenient = changed(registry, missing_references_allowed=True)
    await push_manifest(lenient, APP, IMAGE)
    linked, stored = await journaled(registry)
    assert isinstance(linked, BlobLinked)
    assert isinstance(stored, ManifestStored)
    assert (linked.digest, stored.complete) == (blob_digest("base"), False)


async def test_rows_go_later(registry: Registry) -> None:
    """Rows stay until it is tidied up, and those of entries that could not be written stay after that."""
    await push_image(registry, APP, IMAGE, "v1")
    written = await registry.database.read(waiting)
    assert len(written) == 1
    lines = await registry.database.write(lambda c: [outbox.note(c, TagDeleted(APP, Tag("v1")))])
    await registry.outbox.tidy(registry.database)
    assert await registry.database.read(waiting) == [line.id for line in lines]


async def test_not_acknowledged_before(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push is not acknowledged while its entry is not written, and is refused as the journal is where it cannot be."""
    await push_blobs(registry, APP, "config", "base", "code")
    slow = SlowJournal()
    slow.error = StorageFull()
    monkeypatch.setattr(registry.store, "journal", slow)
    push = asyncio.create_task(push_manifest(registry, APP, IMAGE, "v1"))
    done, _ = await asyncio.wait([push], timeout=0.2)
    assert not done
    slow.go_on.set()
    with pytest.raises(StorageFull):
        await push
    assert len(await registry.database.read(waiting)) == 1
    slow.error = None
    await push_manifest(registry, APP, IMAGE, "v1")
    assert len(await journaled(registry)) == 1


async def test_stopped_while_writing() -> None:
    """Where writing is cancelled, those whose lines are being written and those behind them are told, and none hangs."""
    journal, box = SlowJournal(), Outbox()
    before = asyncio.all_tasks()
    waiters = [asyncio.create_task(box.deliver(journal, [line(1)]))]
    await asyncio.sleep(0)
    [writing] = asyncio.all_tasks() - before - {*waiters}
    waiters.append(asyncio.create_task(box.deliver(journal, [line(2)])))
    for _ in range(3):  # until both are where they wait
        await asyncio.sleep(0)
    assert journal.portions == [[1]]
    writing.cancel()
    told = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 10)
    assert [type(error) for error in told] == [Unavailable, Unavailable]
    journal.go_on.set()
    await box.deliver(journal, [line(3)])


def line(number: int, size: int = 5) -> Line:
    """A line of `size` bytes."""
    return Line(number, b"x" * size)


async def test_one_write_for_many() -> None:
    """Those who come while something is being written share the next write."""
    journal, box = SlowJournal(), Outbox()
    first = asyncio.create_task(box.deliver(journal, [line(1)]))
    await asyncio.sleep(0)
    others = [asyncio.create_task(box.deliver(journal, [line(number)])) for number in range(2, 50)]
    await asyncio.sleep(0)
    journal.go_on.set()
    await asyncio.gather(first, *others)
    assert journal.portions == [[1], list(range(2, 50))]


async def test_not_too_much_at_once() -> None:
    """What is more than a few MiB is not written at once, and a line that is larger than that goes alone."""
    journal, box = SlowJournal(), Outbox()
    journal.go_on.set()
    sizes = [5, 9_000_000, 4_000_000, 4_000_000, 4_000_000, 5]
    await asyncio.gather(
        *(box.deliver(journal, [line(number, size)]) for number, size in enumerate(sizes, 1))
    )
    assert journal.portions == [[1], [2], [3, 4], [5, 6]]


async def test_who_goes_away() -> None:
    """What somebody delivers who goes away is written nevertheless, and nobody else is held up."""
    journal, box = SlowJournal(), Outbox()
    gone = [asyncio.create_task(box.deliver(journal, [line(number)])) for number in (1, 2)]
    stays = asyncio.create_task(box.deliver(journal, [line(3)]))
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    journal.go_on.set()
    await stays
    assert [found.id async for found in journal.lines(0)] == [1, 2, 3]


async def test_after_a_failure() -> None:
    """All who shared a write that failed are told, and the next write is a new one."""
    journal, box = SlowJournal(), Outbox()
    journal.error = OSError("broken")
    journal.go_on.set()
    failed = await asyncio.gather(
        *(box.deliver(journal, [line(number)]) for number in (1, 2)), return_exceptions=True
    )
    assert [type(error) for error in failed] == [OSError, OSError]
    journal.error = None
    await box.deliver(journal, [line(3)])
    assert [found.id async for found in journal.lines(0)] == [3]
