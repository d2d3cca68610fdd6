"""Long walks over a database: one state of it, beside everybody else, with nothing left behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, text

from registry.db import repositories
from registry.db.database import open_database
from registry.oci.errors import Unavailable
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.db.database import Database

pytestmark = pytest.mark.anyio

NAMES = [RepositoryName(f"app{number}") for number in range(3)]


def one_by_one(connection: Connection) -> Iterator[RepositoryName]:
    """Every repository, by a statement for each."""
    last = ""
    while page := repositories.page(connection, last, 1):
        yield page[0]
        last = page[0]


@pytest.fixture
async def filled(database: Database) -> Database:
    """Give a database with three repositories."""
    for name in NAMES:
        await database.write(repositories.ensure, name)
    return database


async def test_everything(filled: Database) -> None:
    """All that the query function yields comes, in its order; nothing, where it yields nothing."""
    assert [name async for name in filled.stream(one_by_one)] == NAMES
    assert [found async for found in filled.stream(lambda _: iter([None, False, 0]))] == [None, False, 0]
    assert [found async for found in filled.stream(lambda _: iter(()))] == []


async def test_one_state(filled: Database) -> None:
    """What is written while the walk goes on is not seen by it, and does not wait for it."""
    async with aclosing(filled.stream(one_by_one)) as walk:
        found = [await anext(walk)]
        await filled.write(repositories.ensure, RepositoryName("app9"))
        assert await filled.read(repositories.find, RepositoryName("app9")) is not None
        found += [name async for name in walk]
    assert found == NAMES


async def test_only_reads(postgres: Database) -> None:
    """A walk on Postgres is one transaction that cannot write."""

    def settings(connection: Connection) -> Iterator[object]:
        yield connection.scalar(text("SHOW transaction_isolation"))
        yield connection.scalar(text("SHOW transaction_read_only"))

    assert [found async for found in postgres.stream(settings)] == ["repeatable read", "on"]


async def test_no_request_waits_for_it(postgres_tables_url: str) -> None:
    """A walk takes no connection from those who ask and write meanwhile."""
    with closing(open_database(postgres_tables_url, pool_size=1, busy_seconds_max=5)) as database:
        await database.write(repositories.ensure, NAMES[0])
        async with aclosing(database.stream(one_by_one)) as walk:
            assert await anext(walk) == NAMES[0]
            assert await database.read(repositories.find, NAMES[0])
            assert await database.look(repositories.find, NAMES[0])


async def test_failure(filled: Database) -> None:
    """What the query function raises comes out as it is, behind what it has yielded."""

    def fail(connection: Connection) -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    found = []
    with pytest.raises(ZeroDivisionError):
        async for number in filled.stream(fail):
            found.append(number)  # noqa: PERF401 - what came before the failure counts
    assert found == [1]


@pytest.mark.parametrize("early", [True, False])
async def test_who_leaves(filled: Database, early: bool) -> None:  # noqa: FBT001
    """Who stops before the end, or is cancelled, leaves no transaction behind."""
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(connection: Connection) -> Iterator[int]:
        try:
            while True:
                yield connection.scalar(text("SELECT 1")) or 0
        finally:
            loop.call_soon_threadsafe(closed.set)

    async def walk() -> None:
        async with aclosing(filled.stream(endless)) as numbers:
            async for _ in numbers:
                if early:
                    return

    walking = asyncio.create_task(walk())
    await asyncio.wait([walking], timeout=0.2)
    walking.cancel()
    await asyncio.wait([walking])
    await asyncio.wait_for(closed.wait(), 10)


async def test_lost_connection(postgres: Database) -> None:
    """A connection that breaks within the walk is told as every other."""

    def cut(connection: Connection) -> Iterator[object]:
        yield 1
        yield connection.scalar(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(Unavailable, match="does not answer"):
        async for _ in postgres.stream(cut):
            pass
