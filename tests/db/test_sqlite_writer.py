"""The thread that writes to SQLite: many writes in one commit, each of them whole or not there at all."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from registry.db import repositories, uploads
from registry.db.database import open_database
from registry.db.uploads import Upload
from registry.oci.errors import StorageFull
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from registry.db.database import Database

pytestmark = pytest.mark.anyio

APP = RepositoryName("app")


@pytest.fixture
def sqlite(sqlite_tables_url: str) -> Iterator[Database]:
    """Give an SQLite database without rows."""
    with closing(open_database(sqlite_tables_url)) as database:
        yield database


class Gate:
    """Holds the writing thread until it is opened, so that what comes meanwhile is written together."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def wait(self, _connection: Connection) -> None:
        """A query that takes as long as the gate is closed."""
        assert self._open.wait(timeout=30)

    def open(self) -> None:
        """Let the thread go on."""
        self._open.set()


@pytest.fixture
async def gate(sqlite: Database) -> AsyncIterator[Gate]:
    """Give a gate at which the writing thread waits."""
    gate = Gate()
    waiting = asyncio.create_task(sqlite.write(gate.wait))
    await asyncio.sleep(0)
    yield gate
    gate.open()
    await waiting


def fail(connection: Connection) -> None:
    """Write, and raise."""
    repositories.ensure(connection, RepositoryName("failed"))
    raise ZeroDivisionError


async def ask(*writes: object) -> list[asyncio.Task[object]]:
    """Ask for writes, in this order, while the gate is closed."""
    tasks = [asyncio.ensure_future(write) for write in writes]  # type: ignore[call-overload]
    await asyncio.sleep(0)
    return tasks


async def names(database: Database) -> list[str]:
    """The repositories that are there."""
    return list(await database.read(repositories.page, "", 100))


async def test_waiting_writes_share_a_commit(sqlite: Database, gate: Gate) -> None:
    """What is asked for while another write runs is written in one transaction: nobody sees a part of it."""

    def ensure(connection: Connection, number: int) -> int:
        repositories.ensure(connection, RepositoryName(f"app{number}"))
        with sqlite.engine.connect() as other:
            return len(repositories.page(other, "", 100))

    tasks = await ask(*(sqlite.write(ensure, number) for number in range(10)))
    gate.open()
    assert await asyncio.gather(*tasks) == [0] * 10
    assert await names(sqlite) == [f"app{number}" for number in range(10)]


async def test_failed_write_is_alone(sqlite: Database, gate: Gate) -> None:
    """Of writes that are committed together, one that raises leaves nothing, and the others lose nothing by it."""
    tasks = await ask(
        sqlite.write(repositories.ensure, RepositoryName("before")),
        sqlite.write(fail),
        sqlite.write(repositories.ensure, RepositoryName("after")),
    )
    gate.open()
    with pytest.raises(ZeroDivisionError):
        await tasks[1]
    await asyncio.gather(tasks[0], tasks[2])
    assert await names(sqlite) == ["after", "before"]


async def test_refused_statement_is_alone(sqlite: Database, gate: Gate) -> None:
    """A statement that the database refuses, run by SQLAlchemy, takes nothing of the other writes with it."""

    def twice(connection: Connection) -> None:
        connection.execute(text("INSERT INTO repositories (name, created_at_us) VALUES ('before', 0)"))

    tasks = await ask(
        sqlite.write(repositories.ensure, RepositoryName("before")),
        sqlite.write(twice),
        sqlite.write(repositories.ensure, RepositoryName("after")),
    )
    gate.open()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert await names(sqlite) == ["after", "before"]


async def test_lost_transaction_is_written_one_by_one(sqlite: Database, gate: Gate) -> None:
    """Where SQLite undoes a whole transaction (a full disk), the writes that did not cause it are written all the same."""

    def fill(connection: Connection) -> None:
        connection.exec_driver_sql(
            "INSERT OR ROLLBACK INTO repositories (name, created_at_us) VALUES ('before', 0)"
        )

    tasks = await ask(
        sqlite.write(repositories.ensure, RepositoryName("before")),
        sqlite.write(fill),
        sqlite.write(repositories.ensure, RepositoryName("after")),
    )
    gate.open()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert await names(sqlite) == ["after", "before"]


async def test_full_disk_at_the_commit(sqlite: Database, gate: Gate) -> None:
    """Where the disk is full for all, all are told, and none of it is there."""
    limit = text("PRAGMA max_page_count = 1")

    def write_much(connection: Connection) -> None:
        connection.execute(limit)
        connection.execute(text("CREATE TABLE much AS SELECT zeroblob(1000000) AS content"))

    tasks = await ask(sqlite.write(write_much), sqlite.write(write_much))
    gate.open()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageFull, StorageFull]


async def test_durable_carries_the_rest(sqlite: Database, gate: Gate) -> None:
    """What need not be durable is committed together with what must be, on the connection that waits for the disk."""

    def synchronous(connection: Connection) -> object:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar()

    tasks = await ask(sqlite.write_soon(synchronous), sqlite.write(synchronous))
    gate.open()
    assert await asyncio.gather(*tasks) == [2, 2]


async def test_cancelled_waiter(sqlite: Database, gate: Gate) -> None:
    """A write whose waiter is gone is written nevertheless, and those beside it are told of theirs."""
    upload = Upload("u1", 0, "sha256")
    tasks = await ask(
        sqlite.write_soon(uploads.start, upload, APP, "anybody"), sqlite.write(repositories.ensure, APP)
    )
    tasks[0].cancel()
    gate.open()
    assert await tasks[1]
    assert await sqlite.read(uploads.find, "u1", APP, "anybody") == upload


async def test_close_writes_what_was_asked_for(sqlite_tables_url: str) -> None:
    """A database that is closed has written what it was asked to."""
    database = open_database(sqlite_tables_url)
    tasks = await ask(*(database.write(repositories.ensure, RepositoryName(f"app{n}")) for n in range(5)))
    await asyncio.to_thread(database.close)
    await asyncio.gather(*tasks)
    with closing(open_database(sqlite_tables_url)) as again:
        assert len(await names(again)) == 5


async def test_database_that_cannot_be_opened(tmp_path: Path) -> None:
    """Where the file cannot be opened, everybody who writes is told, also those who come later; nobody waits for ever."""
    with closing(open_database(f"sqlite:///{tmp_path}/no/such/folder/registry.db")) as database:
        for _ in range(2):
            writes = (database.write(repositories.ensure, APP) for _ in range(5))
            async with asyncio.timeout(20):
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
            assert all(isinstance(outcome, OperationalError) for outcome in outcomes)
