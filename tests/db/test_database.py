"""Transactions: what is written is on disk, what fails leaves nothing, what can be tried again is."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError, OperationalError

from registry.db import repositories
from registry.db.database import open_database
from registry.db.migrate import migrate
from registry.db.sqlite import IN_MEMORY, SqliteDatabase
from registry.oci.errors import StorageFull, Unavailable
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.db.database import Database

pytestmark = pytest.mark.anyio

APP = RepositoryName("app")


def setting(connection: Connection, name: str) -> object:
    """A setting of the connection, as the database tells it."""
    show = "PRAGMA" if connection.dialect.name == "sqlite" else "SHOW"
    return connection.scalar(text(f"{show} {name}"))


@pytest.fixture
def sqlite(sqlite_tables_url: str) -> Iterator[Database]:
    """Give an SQLite database without rows."""
    with closing(open_database(sqlite_tables_url)) as database:
        yield database


# Transactions


async def test_write_is_seen(database: Database) -> None:
    """What a write returns is given back, and what it wrote is there for the next read."""
    written = await database.write(repositories.ensure, APP)
    assert await database.read(repositories.find, APP) == written


async def test_write_is_seen_by_others(database: Database, tables_url: str) -> None:
    """What was written is there for another process at once."""
    written = await database.write(repositories.ensure, APP)
    with closing(open_database(tables_url)) as other:
        assert await other.read(repositories.find, APP) == written


@pytest.mark.parametrize("kind", ["write", "write_soon"])
async def test_failed_write_leaves_nothing(database: Database, kind: str) -> None:
    """A function that raises has written nothing, and its error comes out as it is."""

    def fail(connection: Connection) -> None:
        repositories.ensure(connection, APP)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await getattr(database, kind)(fail)
    assert await database.read(repositories.find, APP) is None
    assert await database.write(repositories.ensure, APP)  # and the connection is as good as before


async def test_refused_write_leaves_nothing(database: Database) -> None:
    """What the database refuses takes the whole transaction with it."""

    def twice(connection: Connection) -> None:
        repositories.ensure(connection, APP)
        connection.execute(text("INSERT INTO repositories (name, created_at_us) VALUES ('app', 0)"))

    with pytest.raises(DatabaseError, match=r"(?i)unique"):
        await database.write(twice)
    assert await database.read(repositories.find, APP) is None


async def test_read_sees_one_state(database: Database, tables_url: str) -> None:
    """A read sees the database as it was at its first look, whatever others write meanwhile."""

    def look_twice(connection: Connection) -> tuple[int | None, int | None]:
        before = repositories.find(connection, APP)
        writer = threading.Thread(target=lambda: asyncio.run(write_elsewhere()))
        writer.start()
        writer.join()
        return before, repositories.find(connection, APP)

    async def write_elsewhere() -> None:
        with closing(open_database(tables_url)) as other:
            await other.write(repositories.ensure, APP)

    assert await database.read(look_twice) == (None, None)
    assert await database.read(repositories.find, APP) is not None


async def test_writes_at_the_same_time(database: Database, tables_url: str) -> None:
    """Many writers, in several processes, lose nothing of what each other writes."""

    def add(connection: Connection, number: int) -> None:
        repositories.ensure(connection, RepositoryName(f"app{number}"))
        repositories.ensure(connection, RepositoryName("shared"))

    with closing(open_database(tables_url)) as other:
        await asyncio.gather(*(db.write(add, number) for number in range(20) for db in (database, other)))
    assert len(await database.read(repositories.page, "", 100)) == 21


async def test_readers_and_writers_at_the_same_time(database: Database) -> None:
    """Reads go on while writes do, and none of them fails."""
    writes = (database.write(repositories.ensure, RepositoryName(f"app{number}")) for number in range(20))
    reads = (database.read(repositories.page, "", 100) for _ in range(20))
    await asyncio.gather(*writes, *reads)


async def test_ping(database: Database) -> None:
    """A database that works answers."""
    await database.ping()


async def test_ping_without_server(tables_url: str) -> None:
    """A database that cannot be reached does not answer."""
    gone = tables_url.replace("/registry.db", "/no/such/folder/registry.db").replace(
        "?host=", "?host=/nowhere"
    )
    with closing(open_database(gone)) as database, pytest.raises((Unavailable, OperationalError)):
        await database.ping()


@pytest.mark.parametrize("url", IN_MEMORY)
async def test_in_memory(url: str) -> None:
    """A database in memory has readers and writers as any other, and is gone when it is closed."""
    for _ in range(2):
        with closing(open_database(url)) as database:
            assert migrate(database)
            await database.write(repositories.ensure, APP)
            assert await database.read(repositories.find, APP) is not None


# Durability


async def test_sqlite_durability(sqlite: Database) -> None:
    """SQLite waits for the disk at each commit that is acknowledged, keeps a log, and minds its foreign keys."""
    for _ in range(2):  # the connections are kept: also the second time
        assert await sqlite.write(setting, "synchronous") == 2
        assert await sqlite.write_soon(setting, "synchronous") == 1
    for run in (sqlite.read, sqlite.write, sqlite.write_soon):
        assert await run(setting, "journal_mode") == "wal"
        assert await run(setting, "foreign_keys") == 1


async def test_postgres_durability(postgres: Database) -> None:
    """Postgres waits for the disk at each commit that is acknowledged, whatever the server's default is."""
    assert await postgres.write(setting, "synchronous_commit") == "on"
    assert await postgres.write_soon(setting, "synchronous_commit") == "off"
    assert await postgres.write(setting, "synchronous_commit") == "on"


async def test_postgres_isolation(postgres: Database) -> None:
    """On Postgres, a read is one snapshot and cannot write; a write looks anew at each statement."""
    assert await postgres.read(setting, "transaction_isolation") == "repeatable read"
    assert await postgres.read(setting, "transaction_read_only") == "on"
    assert await postgres.write(setting, "transaction_isolation") == "read committed"
    assert await postgres.write(setting, "transaction_read_only") == "off"


async def test_foreign_keys(database: Database) -> None:
    """Neither database lets a row lead nowhere."""
    stray = text("INSERT INTO repository_blobs VALUES (12345, 54321, 0)")
    with pytest.raises(DatabaseError, match=r"(?i)foreign key"):
        await database.write(lambda connection: connection.execute(stray) and None)


async def test_sqlite_write_waits_for_its_turn(sqlite: Database, sqlite_tables_url: str) -> None:
    """A write owns the database before its first look at it, so that nothing it saw can have changed."""
    with closing(SqliteDatabase(sqlite_tables_url, busy_seconds_max=0)) as other:

        def write_elsewhere(connection: Connection) -> str:
            repositories.find(connection, APP)
            try:
                asyncio.run(other.write(repositories.ensure, APP))
            except Unavailable as error:
                return error.message
            return "written"

        assert await sqlite.write(write_elsewhere) == "the database is busy; try again"


# Full disks


async def test_sqlite_full(sqlite: Database) -> None:
    """Where the disk under SQLite is full, that is said; nothing is written, and afterwards it goes on."""

    def limit(connection: Connection, pages: int) -> None:
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))

    def write_much(connection: Connection) -> None:
        repositories.ensure(connection, RepositoryName("a" * 255))
        connection.execute(text("CREATE TABLE much AS SELECT zeroblob(1000000) AS content"))

    await sqlite.write(limit, 1)
    with pytest.raises(StorageFull):
        await sqlite.write(write_much)
    await sqlite.write(limit, 1_000_000)
    assert await sqlite.read(repositories.page, "", 10) == []
    assert await sqlite.write(repositories.ensure, APP)


async def test_postgres_full(postgres: Database) -> None:
    """Where the disk under Postgres is full, that is said; afterwards it goes on."""
    full = text("DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$")
    with pytest.raises(StorageFull):
        await postgres.write(lambda connection: connection.execute(full) and None)
    assert await postgres.write(repositories.ensure, APP)


# Trying again


async def test_deadlock_is_tried_again(postgres: Database) -> None:
    """Of two transactions that wait for each other, the one that the database ends runs again; both succeed."""
    ids = [await postgres.write(repositories.ensure, RepositoryName(name)) for name in ("one", "two")]
    met = threading.Barrier(2)
    runs: list[int] = []

    def lock_both(connection: Connection, first: int, second: int) -> None:
        runs.append(first)
        connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        lock = text("UPDATE repositories SET created_at_us = created_at_us + 1 WHERE id = :id")
        connection.execute(lock, {"id": first})
        if runs.count(first) == 1:
            met.wait(timeout=30)
        connection.execute(lock, {"id": second})

    await asyncio.gather(postgres.write(lock_both, ids[0], ids[1]), postgres.write(lock_both, ids[1], ids[0]))
    assert 3 <= len(runs) <= 6  # on a busy machine, the one that tries again may meet the other once more


@pytest.mark.parametrize("state", ["serialization_failure", "deadlock_detected"])
async def test_transient_failure_is_tried_again(postgres: Database, state: str) -> None:
    """What the database asks to be tried again is, from its beginning; what was written before is not there."""
    seen: list[int | None] = []

    def fail_twice(connection: Connection) -> int:
        seen.append(repositories.find(connection, APP))
        made = repositories.ensure(connection, APP)
        if len(seen) <= 2:
            connection.execute(text(f"DO $$ BEGIN RAISE 'again' USING ERRCODE = '{state}'; END $$"))
        return made

    made = await postgres.write(fail_twice)
    assert seen == [None, None, None]
    assert await postgres.read(repositories.find, APP) == made


async def test_trying_again_ends(postgres: Database) -> None:
    """What fails for ever is not tried for ever."""
    runs: list[int] = []

    def fail(connection: Connection) -> None:
        runs.append(1)
        connection.execute(text("DO $$ BEGIN RAISE 'again' USING ERRCODE = 'deadlock_detected'; END $$"))

    with pytest.raises(Unavailable, match="busy"):
        await postgres.write(fail)
    assert 3 <= len(runs) <= 20


async def test_waiting_ends(postgres: Database, postgres_tables_url: str) -> None:
    """Who waits for another transaction for longer than the operator allows is told to try again."""
    made = await postgres.write(repositories.ensure, APP)
    lock = text(f"UPDATE repositories SET created_at_us = 0 WHERE id = {made}")
    with (
        closing(open_database(postgres_tables_url, busy_seconds_max=0.01)) as impatient,
        postgres.engine.begin() as connection,
    ):
        connection.execute(lock)
        with pytest.raises(Unavailable, match="busy"):
            await impatient.write(lambda connection: connection.execute(lock) and None)


async def test_waiting_for_a_connection_ends(postgres_tables_url: str) -> None:
    """Who finds every connection in use for longer than the operator allows is told to try again; others go on."""
    with closing(open_database(postgres_tables_url, pool_size=1, busy_seconds_max=0.2)) as database:
        holding, release = threading.Event(), threading.Event()
        holder = asyncio.create_task(database.read(lambda _: holding.set() or release.wait(30)))
        await asyncio.to_thread(holding.wait, 30)
        try:
            for ask in (database.read, database.look, database.write, database.write_soon):
                with pytest.raises(Unavailable, match="busy"):
                    await ask(repositories.find, APP)
        finally:
            release.set()
        assert await holder  # it had its connection, and was not disturbed
        assert await database.write(repositories.ensure, APP)


async def test_who_leaves_does_not_wait(postgres_tables_url: str) -> None:
    """Who is cancelled while it waits for a connection is gone at once, and was never told that anything is busy."""
    with closing(open_database(postgres_tables_url, pool_size=1)) as database:
        holding, release = threading.Event(), threading.Event()
        holder = asyncio.create_task(database.read(lambda _: holding.set() or release.wait(30)))
        await asyncio.to_thread(holding.wait, 30)
        waiting = asyncio.create_task(database.write(repositories.ensure, APP))
        await asyncio.wait([waiting], timeout=0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        assert await holder
        assert await database.read(repositories.find, APP) is None


@pytest.mark.parametrize(("given", "seconds"), [("", "10"), ("&connect_timeout=3", "3")])
async def test_lost_links_are_noticed(postgres_tables_url: str, given: str, seconds: str) -> None:
    """Connections notice a server that is gone without a word, as soon as we or the URL say."""
    with (
        closing(open_database(f"{postgres_tables_url}{given}")) as database,
        database.engine.connect() as connection,
    ):
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        assert driver.info.get_parameters()["connect_timeout"] == seconds
        assert driver.info.get_parameters()["tcp_user_timeout"] == "30000"


async def test_other_failures_are_not_tried_again(postgres: Database) -> None:
    """What would fail again is not tried again."""
    runs: list[int] = []

    def fail(connection: Connection) -> None:
        runs.append(1)
        connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(DatabaseError, match="division by zero"):
        await postgres.write(fail)
    assert len(runs) == 1


async def test_lost_connections_are_replaced(postgres: Database) -> None:
    """After the server has ended all connections (a restart), the next question is answered."""
    await postgres.write(repositories.ensure, APP)
    with postgres.engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert await postgres.read(repositories.find, APP) is not None


async def test_sqlite_file_is_made_by_several(tmp_path: Path) -> None:
    """Who finds a new file in use by another, who is about to make it what it will be, waits for that."""
    file = tmp_path / "new.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # now nobody can switch the file to WAL, and SQLite says so at once
        with closing(open_database(f"sqlite:///{file}")) as database:
            write = asyncio.create_task(database.write(setting, "journal_mode"))
            await asyncio.wait([write], timeout=0.2)
            other.execute("COMMIT")
            assert await write == "wal"


async def test_postgres_in_read_only_mode(postgres_tables_url: str) -> None:
    """A Postgres that takes no changes at the moment, as a standby, is told as one that will take them later."""
    read_only = f"{postgres_tables_url}&options=-cdefault_transaction_read_only%3Don"
    with (
        closing(open_database(read_only)) as database,
        pytest.raises(Unavailable, match="takes no changes") as caught,
    ):
        await database.write(repositories.ensure, APP)
    assert caught.value.cause.startswith("ReadOnlySqlTransaction: cannot execute INSERT")
    assert "\n" not in caught.value.cause


async def test_postgres_with_too_many_connections(postgres_tables_url: str) -> None:
    """Where Postgres takes no more connections, that is told as a database which does not answer at the moment."""
    with psycopg.connect(postgres_tables_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(b"CREATE ROLE guest LOGIN CONNECTION LIMIT 0")
        connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO guest'.encode())
        try:
            url = postgres_tables_url.replace("postgres@", "guest@")
            with closing(open_database(url)) as database, pytest.raises(Unavailable) as caught:
                await database.read(repositories.find, APP)
            assert "too many connections" in caught.value.cause
        finally:
            connection.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM guest'.encode())
            connection.execute(b"DROP ROLE guest")
