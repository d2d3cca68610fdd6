"""The journal is kept complete and short, whatever replicas do or leave undone."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
import structlog
from sqlalchemy import Connection, text, update

from registry.db import journal as rows
from registry.db.database import open_database
from registry.db.schema import journal as table
from registry.oci.errors import StorageFull, Unavailable
from registry.oci.names import Tag
from registry.operations import describing, outbox, snapshot
from registry.operations.describing import (
    GAP,
    DatabaseLost,
    begin_anew,
    describe,
    look_around,
    save_snapshot,
)
from registry.operations.entries import TagDeleted, dump
from registry.operations.outbox import note
from registry.operations.packing import pack
from registry.server import explained
from registry.storage.memory import MemoryStore
from tests.support.images import image
from tests.support.registries import APP, push_image, registry_on
from tests.support.tables import empty

if TYPE_CHECKING:
    from registry.db.database import Database
    from registry.operations.registry import Registry
    from tests.postgres import Cluster

pytestmark = pytest.mark.anyio

IMAGE = image("base")
ENTRY = TagDeleted(APP, Tag("v1"))
DAY = 86400


def grow_old(connection: Connection) -> None:
    """All that is in the outbox has been there for long."""
    connection.execute(update(table).values(at_us=0))


async def numbers(registry: Registry) -> list[int]:
    """The numbers of the lines in the journal."""
    return sorted({line.id async for line in registry.store.journal.lines(0)})


async def untils(registry: Registry) -> list[int]:
    """How far the snapshots go."""
    return sorted([one.until async for one in registry.store.journal.snapshots()])


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give by how many seconds the time is later."""
    ahead, now = [0.0], time.time
    monkeypatch.setattr(describing.time, "time", lambda: now() + ahead[0])
    return ahead


async def test_left_over_entries(registry: Registry) -> None:
    """What a replica committed and did not write is written for it, once it has had the time to do so itself."""
    left = [(await registry.database.write(note, ENTRY)).id for _ in range(45)]
    await describe(registry)
    assert await numbers(registry) == []
    await registry.database.write(grow_old)
    await describe(registry)
    assert await numbers(registry) == left
    assert {line.text async for line in registry.store.journal.lines(0)} == {dump(ENTRY)}
    assert await registry.database.read(rows.left_over, 1 << 60, 100) == []


async def test_left_over_by_size(database: Database) -> None:
    """What was left over is had in portions by their size, of which each has one entry at least, in order."""
    ids = [await database.write(rows.note, entry) for entry in ("x" * 50, "y" * 10, "z" * 10, "w" * 30)]
    portions = []
    while left := await database.read(rows.left_over, 1 << 60, 25):
        portions.append([number for number, _ in left])
        await database.write(rows.remove, portions[-1])
    assert portions == [ids[:1], ids[1:3], ids[3:]]


async def test_first_snapshot(registry: Registry) -> None:
    """A database that holds something and has no snapshot gets one, which no journal has to precede; an empty one none."""
    await describe(registry)
    assert await untils(registry) == []
    await push_image(registry, APP, IMAGE, "v1")
    await describe(registry)
    assert await untils(registry) == [await registry.database.read(rows.highest)]


async def test_next_snapshot(registry: Registry, later: list[float]) -> None:
    """A day later comes the next one, where something happened meanwhile."""
    await push_image(registry, APP, IMAGE, "v1")
    await describe(registry)
    later[0] = 2 * DAY
    await describe(registry)
    assert len(await untils(registry)) == 1
    later[0] = 0.5 * DAY
    await push_image(registry, APP, IMAGE, "v2")
    await describe(registry)
    assert len(await untils(registry)) == 1
    later[0] = 1.5 * DAY
    await describe(registry)
    assert len(await untils(registry)) == 2


async def test_snapshot_after_much(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much happens, the next snapshot comes earlier."""
    monkeypatch.setattr(describing, "_ENTRIES_MAX", 2)
    for number in range(4):
        await push_image(registry, APP, IMAGE, f"v{number}")
        await describe(registry)
    assert len(await untils(registry)) == 2


async def test_forgetting(database: Database, later: list[float]) -> None:
    """What a snapshot tells goes when the snapshot is a week old, and not before: older states can still be had."""
    registry = registry_on(database, MemoryStore())
    for days, tag in ((0, "v1"), (1, "v2"), (6, "v3")):
        later[0] = days * DAY
        await push_image(registry, APP, IMAGE, tag)
        await save_snapshot(registry)
    first, second, third = await untils(registry)
    later[0] = 7.5 * DAY
    await push_image(registry, APP, IMAGE, "v4")
    await describe(registry)
    assert await untils(registry) == [first, second, third, third + 1]
    assert await numbers(registry) == [second, third, third + 1]
    later[0] = 8.6 * DAY
    await push_image(registry, APP, IMAGE, "v5")
    await describe(registry)
    assert await untils(registry) == [second, third, third + 1, third + 2]
    assert await numbers(registry) == [third, third + 1, third + 2]


async def test_what_is_under_way(postgres: Database) -> None:
    """A snapshot waits for transactions that have a number and have not ended: it says no more than it has."""
    registry, engine = registry_on(postgres, MemoryStore()), postgres.engine
    await push_image(registry, APP, IMAGE, "v1")
    with engine.connect() as connection, connection.begin() as transaction:
        line = outbox.note(connection, ENTRY)
        await push_image(registry, APP, IMAGE, "v2")
        saving = asyncio.create_task(save_snapshot(registry))
        await asyncio.wait([saving], timeout=0.5)
        assert not saving.done()
        transaction.commit()
    await saving
    [until] = await untils(registry)
    assert until >= line.id


async def test_other_databases_hold_nothing_up(
    postgres: Database, postgres_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transactions that write elsewhere, in another database or another table, keep no snapshot waiting."""
    monkeypatch.setattr(describing, "_SETTLE_SECONDS_MAX", 1.0)
    registry = registry_on(postgres, MemoryStore())
    await push_image(registry, APP, IMAGE, "v1")
    with ExitStack() as held:
        for database in (
            postgres,
            held.enter_context(closing(open_database(postgres_cluster.create_database()))),
        ):
            connection = held.enter_context(database.engine.connect())
            connection.execute(text("CREATE TEMPORARY TABLE other AS SELECT pg_current_xact_id()"))
        await save_snapshot(registry)
    assert await untils(registry) == [await registry.database.read(rows.highest)]


async def test_begun_anew_without_snapshot(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a database was filled and its snapshot cannot be saved, that is said, and ids are advanced nevertheless."""

    async def fail(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(registry.store.journal, "save", fail)
    [said] = await begin_anew(registry)
    assert "no snapshot could be saved" in said
    assert await registry.database.read(rows.highest) == GAP


async def test_nothing_is_said_of_a_new_registry(registry: Registry) -> None:
    """A start with nothing in database and store says nothing; nor does one where both have the same."""
    with structlog.testing.capture_logs() as logs:
        await look_around(registry)
        await push_image(registry, APP, IMAGE, "v1")
        await look_around(registry)
        await save_snapshot(registry)
        await look_around(registry)
    assert [entry for entry in logs if entry["log_level"] in {"warning", "error"}] == []


async def test_lost_database(registry: Registry) -> None:
    """A start with an empty database on a store that has a journal is refused, and says what to do."""
    await push_image(registry, APP, IMAGE, "v1")
    empty(registry.database)
    with pytest.raises(DatabaseLost, match="registry rebuild") as refused:
        await look_around(registry)
    assert explained(refused.value) == [str(refused.value)]
    assert await registry.database.read(rows.highest) == 0


async def test_lost_database_of_before_the_journal(registry: Registry) -> None:
    """A snapshot that no journal precedes is enough to refuse."""
    await registry.store.journal.save(0, pack(registry.database.stream(snapshot.entries)))
    with pytest.raises(DatabaseLost):
        await look_around(registry)


async def test_begun_anew_with_nothing(registry: Registry) -> None:
    """A registry that was restored from a backup of an empty one starts."""
    await begin_anew(registry)
    assert len(await untils(registry)) == 1
    await look_around(registry)
    assert await registry.database.read(rows.highest) == GAP


async def test_older_database(registry: Registry) -> None:
    """Where a copy of the database of before was put back, what comes is not mixed up with what the journal has."""
    await push_image(registry, APP, IMAGE, "v1")
    reached = (await numbers(registry))[-1] + 50
    await registry.store.journal.append([outbox.Line(reached, dump(ENTRY))])
    with structlog.testing.capture_logs() as logs:
        await look_around(registry)
        await look_around(registry)
    assert [entry["entry"] for entry in logs if entry["log_level"] == "error"] == [reached]
    await push_image(registry, APP, IMAGE, "v2")
    assert (await numbers(registry))[-1] == reached + GAP + 1
    await describe(registry)
    assert await untils(registry) == [reached + GAP + 1]


async def test_database_becomes_older_under_way(registry: Registry) -> None:
    """Where a running registry's database becomes one of before, the next turn says so, and ids jump ahead."""
    await push_image(registry, APP, IMAGE, "v1")
    reached = (await numbers(registry))[-1] + 50
    await registry.store.journal.append([outbox.Line(reached, dump(ENTRY))])
    with structlog.testing.capture_logs() as logs:
        await describe(registry)
    assert [entry["entry"] for entry in logs if entry["log_level"] == "error"] == [reached]
    assert await registry.database.read(rows.highest) == reached + GAP


async def test_snapshot_of_an_older_database(registry: Registry) -> None:
    """A snapshot is due where the newest one is of more than the database knows."""
    await push_image(registry, APP, IMAGE, "v1")
    highest = await registry.database.read(rows.highest)
    await registry.store.journal.save(highest + 50, pack(registry.database.stream(snapshot.entries)))
    assert await describing._is_due(registry)


async def test_ids_are_skipped_once(database: Database) -> None:
    """Where several start at the same moment, ids are advanced by one of them, and never set back."""
    told = await asyncio.gather(*(database.write(rows.advance, 1000) for _ in range(5)))
    assert sorted(told) == [False] * 4 + [True]
    assert await database.write(rows.note, "entry") == 1001
    assert await database.write(rows.advance, 1000) is False
    assert await database.write(rows.note, "entry") == 1002


async def test_upgrade(registry: Registry) -> None:
    """What was pushed before there was a journal is in a snapshot right after the start, not a turn later."""
    await push_image(registry, APP, IMAGE, "v1")
    working = asyncio.create_task(describing.describe_forever(registry))
    deadline = time.monotonic() + 20  # a turn takes 30 seconds at least
    while not await untils(registry):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    working.cancel()
    await asyncio.wait([working])


async def test_it_goes_on(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that fails is followed by another; who has the turn tidies up, and writes what others have left."""
    monkeypatch.setattr(describing, "_TURN_SECONDS", 0.05)
    monkeypatch.setattr(describing, "_TIDY_SECONDS", 0.05)
    failures = [Unavailable("at first")]

    async def fail_once(given: Registry) -> None:
        if failures:
            raise failures.pop()
        await describe(given)

    monkeypatch.setattr(describing, "describe", fail_once)
    await push_image(registry, APP, IMAGE, "v1")
    working = asyncio.create_task(describing.describe_forever(registry))
    deadline = time.monotonic() + 30
    while not await untils(registry) or await registry.database.read(rows.left_over, 1 << 60, 9):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    working.cancel()
    await asyncio.wait([working])
