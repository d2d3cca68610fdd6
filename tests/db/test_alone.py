"""Work that one process does and not all: whoever ends, another takes over."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import text

import registry
from registry.db.database import open_database
from registry.db.postgres import PostgresDatabase
from registry.oci.errors import Unavailable

if TYPE_CHECKING:
    from registry.db.database import Database

pytestmark = pytest.mark.anyio

HOLD = """
import asyncio, sys
from registry.db.database import open_database

async def hold():
    async with open_database(sys.argv[1]).alone("purging") as alone:
        print(alone, flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


def holder(url: str) -> subprocess.Popen[bytes]:
    """A process that is alone until it is killed."""
    root = Path(registry.__file__).parent.parent
    return subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, cwd=root)


async def test_one_is_alone(tables_url: str) -> None:
    """While one is at a task, another is not alone with it, but with a different one; afterwards it is."""
    with closing(open_database(tables_url)) as one, closing(open_database(tables_url)) as two:
        async with one.alone("purging") as first, two.alone("purging") as second, two.alone("other") as other:
            assert (first, second, other) == (True, False, True)
        async with two.alone("purging") as second, one.alone("purging") as first:
            assert (first, second) == (False, True)


async def test_ends_with_its_block(database: Database) -> None:
    """After an error, too, the task is free."""
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with database.alone("purging") as alone:
                assert alone
                raise ZeroDivisionError


async def test_killed_process_is_in_no_block(tables_url: str) -> None:
    """A process that is killed leaves its task to others."""
    with closing(open_database(tables_url)) as database, holder(tables_url) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"True\n"
            async with database.alone("purging") as alone:
                assert not alone
        finally:
            process.kill()
            process.wait()
        await eventually_alone(database)


async def eventually_alone(database: Database) -> None:
    """Postgres notices within moments that a client is gone."""
    with anyio.fail_after(20):
        while True:
            async with database.alone("purging") as alone:
                if alone:
                    return
            await anyio.sleep(0.05)


async def test_takes_no_connection_from_requests(postgres_tables_url: str) -> None:
    """Who is alone for long leaves requests the whole pool."""
    with closing(open_database(postgres_tables_url, pool_size=1)) as database:
        async with database.alone("purging") as alone:
            assert alone
            await database.ping()
            await database.write(lambda connection: connection.execute(text("SELECT 1")))


async def test_database_is_away() -> None:
    """Where Postgres does not answer, nobody is alone, and it is told of as any other request is."""
    with closing(PostgresDatabase("postgresql://nobody@/none?host=/nowhere", 1, 1)) as away:
        with pytest.raises(Unavailable):
            await away.ping()
        with pytest.raises(Unavailable):
            async with away.alone("purging"):
                pytest.fail("alone")
