"""Pooled connections that died since they were used: nobody who asks Postgres afterwards is told of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from sqlalchemy import text

from registry.db import repositories
from registry.db.database import Connection, Database, ask, open_database
from registry.oci.errors import Unavailable
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

POOL_SIZE: Final = 3
NAME: Final = RepositoryName("team/app")


USES: Final = {
    "look": lambda database: database.look(ask),
    "read": lambda database: database.read(ask),
    "write": lambda database: database.write(repositories.ensure, NAME),
    "ping": lambda database: database.ping(),
}


@pytest.fixture
def pooled(postgres_tables_url: str) -> Iterator[Database]:
    """Give a database with a few connections."""
    with closing(open_database(postgres_tables_url, pool_size=POOL_SIZE)) as database:
        yield database


async def fill_pool(database: Database) -> set[int]:
    """Use all its connections at the same time; their processes at the other end."""

    def be(connection: Connection) -> int:
        row = connection.execute(text("SELECT pg_backend_pid(), pg_sleep(0.1)")).one()
        return int(row[0])

    return set(await asyncio.gather(*(database.look(be) for _ in range(POOL_SIZE))))


def end(url: str, backends: set[int]) -> None:
    """Let the server end these connections, as one does that restarts."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for backend in backends:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])


@pytest.mark.parametrize("pause_seconds", [0, 1.2])
@pytest.mark.parametrize("use", USES)
async def test_dead_connections(
    pooled: Database, postgres_tables_url: str, use: str, pause_seconds: float
) -> None:
    """However long ago they were used, a request finds another one where all of them are dead, and so does the next."""
    backends = await fill_pool(pooled)
    assert len(backends) == POOL_SIZE
    end(postgres_tables_url, backends)
    await asyncio.sleep(pause_seconds)
    for _ in range(POOL_SIZE + 1):
        await USES[use](pooled)
    assert not backends & await fill_pool(pooled)


async def test_dies_in_the_middle(pooled: Database, postgres_tables_url: str) -> None:
    """A write whose connection dies when something may have been done is not done again: that is for the client."""
    times = 0

    def write(connection: Connection) -> None:
        nonlocal times
        times += 1
        repositories.ensure(connection, NAME)
        end(postgres_tables_url, {int(connection.scalar(text("SELECT pg_backend_pid()")))})
        connection.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        await pooled.write(write)
    assert times == 1


async def test_nobody_is_there(postgres_tables_url: str) -> None:
    """Where no connection can be had at all, that is said at once."""
    nowhere = f"{postgres_tables_url.partition('?')[0]}?host=/nowhere"
    with closing(open_database(nowhere, pool_size=1)) as database:
        began = time.monotonic()
        for use in USES.values():
            with pytest.raises(Unavailable):
                await use(database)
        assert time.monotonic() - began < 5
