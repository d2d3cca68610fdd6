"""SQLite in WAL mode: readers never wait, one writer at a time, in this process or another."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from registry.db.database import Database
from registry.db.sqlite_connection import OWNED, SqliteConnection
from registry.db.sqlite_writer import SqliteWriter
from registry.oci.errors import StorageFull, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy import Connection, Engine

P = ParamSpec("P")
T = TypeVar("T")

IN_MEMORY: Final = ("sqlite://", "sqlite:///:memory:")
_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")  # and their extended codes
_BUSY_POLL_SECONDS: Final = 0.01


class SqliteDatabase(Database):
    """A SQLite file.

    Reads run in place, on a connection that each thread keeps: a hop to another thread would cost many times what the
    query does. Writes run on one thread.
    """

    def __init__(self, url: str, busy_seconds_max: float) -> None:
        self._temporary = TemporaryDirectory(prefix="registry-") if url in IN_MEMORY else None
        if self._temporary:
            # A database in memory cannot be shared by a reader and a writer without locking each other out.
            url = f"sqlite:///{self._temporary.name}/registry.db"
        self.engine = _engine(url, busy_seconds_max)
        self._writer = SqliteWriter(self.engine)
        self._own = threading.local()
        self._readers: list[SqliteConnection] = []

    @asynccontextmanager
    async def alone(self, task: str) -> AsyncIterator[bool]:
        """See Database; a lock on a file beside the database's, which the kernel takes from a process that ends."""
        file = os.open(
            f"{self.engine.url.database}-{task}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(file)

    def close(self) -> None:
        """See Database."""
        self._writer.close()
        for reader in self._readers:
            reader.close()
        self.engine.dispose()
        if self._temporary:
            self._temporary.cleanup()

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except OperationalError as error:
            raise _told(error) from error

    async def look(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database; with nothing in between, since this is what most requests ask."""
        try:
            return query(self._reader().connection, *args, **kwargs)
        except (OperationalError, sqlite3.OperationalError) as error:
            raise _told(error) from error

    async def _look(self, job: Callable[[Connection], T]) -> T:
        try:
            return job(self._reader().connection)
        except (OperationalError, sqlite3.OperationalError) as error:
            raise _told(error) from error

    async def _read(self, job: Callable[[Connection], T]) -> T:
        try:
            return self._reader().read(job)
        except (OperationalError, sqlite3.OperationalError) as error:
            raise _told(error) from error

    async def _write(self, job: Callable[[Connection], T], *, durable: bool) -> T:
        try:
            return await self._writer.run(job, durable=durable)
        except (OperationalError, sqlite3.OperationalError) as error:
            raise _told(error) from error

    def _reader(self) -> SqliteConnection:
        reader: SqliteConnection | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = SqliteConnection(self.engine)
            self._readers.append(reader)
        return reader


def _engine(url: str, busy_seconds_max: float) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": busy_seconds_max},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        _switch_to_wal(connection, busy_seconds_max)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # The driver's own idea of when a transaction begins is switched off (isolation_level): it begins one only
        # at the first write.
        if OWNED not in connection.info:
            connection.exec_driver_sql(connection.info.get("begin", "BEGIN"))

    return engine


def _switch_to_wal(connection: sqlite3.Connection, busy_seconds_max: float) -> None:
    # A new file is switched once. Where several processes do so at the same moment, SQLite tells all but one of them
    # at once that it is busy, whatever time they gave it to wait.
    deadline = time.monotonic() + busy_seconds_max
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_BUSY) or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_POLL_SECONDS)
        else:
            return


def _told(error: OperationalError | sqlite3.OperationalError) -> Exception:
    """What a client is told, where the cause is one that it can know."""
    cause = error.orig if isinstance(error, OperationalError) else error
    name = getattr(cause, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return StorageFull()
    if name.startswith(_BUSY):
        return Unavailable("the database is busy; try again")
    return error
