"""Runs query functions on a database: SQLite in this process, or Postgres.

A query function is plain and synchronous: `def find(connection, ...)`. `read` runs one in a transaction that sees one
state of the database, `write` in one that is committed, or rolled back when the function raises. A function may run
more than once: when the database asks for it, a transaction is tried again from its beginning.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from registry.oci.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection as SqliteConnection

__all__ = ["IN_MEMORY", "Connection", "Database", "PostgresDatabase", "SqliteDatabase", "open_database"]

P = ParamSpec("P")
T = TypeVar("T")

IN_MEMORY: Final = ("sqlite://", "sqlite:///:memory:")
_RETRIES_MAX: Final = 10
_POSTGRES_RETRYABLE = frozenset(
    {"40001", "40P01"}
)  # serialization_failure, deadlock_detected: nothing was done
_POSTGRES_FULL = "53100"
_SQLITE_FULL = "SQLITE_FULL"


class Database(ABC):
    """A database with the registry's tables."""

    engine: Engine

    @abstractmethod
    async def read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `query` returns; it must not write."""

    @abstractmethod
    async def write(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `query` returns, once its changes are on disk."""

    @abstractmethod
    async def write_soon(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`, for what may be lost in a power cut (uploads that nobody has finished): costs no fsync."""

    async def ping(self) -> None:
        """Raise where the database does not answer."""
        await self.read(lambda connection: connection.execute(text("SELECT 1")))

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""


def open_database(url: str, *, pool_size: int = 10, busy_seconds_max: float = 30) -> Database:
    """The database behind a `sqlite:` or `postgresql:` URL; `sqlite://` alone is one that is gone afterwards."""
    if url.startswith("sqlite:"):
        return SqliteDatabase(url, busy_seconds_max)
    return PostgresDatabase(url, pool_size)


class SqliteDatabase(Database):
    """SQLite in WAL mode: readers never wait, one writer at a time.

    Reads run in place, on a connection that each thread keeps: a hop to another thread would cost many times what the
    query does. Writes run on one thread, which owns the two connections that write: one waits for the disk when it
    commits, the other does not.
    """

    def __init__(self, url: str, busy_seconds_max: float) -> None:
        self._temporary = TemporaryDirectory(prefix="registry-") if url in IN_MEMORY else None
        if self._temporary:
            # A database in memory cannot be shared by a reader and a writer without locking each other out.
            url = f"sqlite:///{self._temporary.name}/registry.db"
        self.engine = _sqlite_engine(url, busy_seconds_max)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="db-writer")
        self._own = threading.local()
        self._opened: list[Connection] = []

    async def read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database."""
        connection = self._connection("reader", "BEGIN", "FULL")
        with connection.begin():
            return query(connection, *args, **kwargs)

    async def write(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database."""
        return await _in_thread(
            self._writer, lambda: self._write("FULL", lambda c: query(c, *args, **kwargs))
        )

    async def write_soon(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database."""
        return await _in_thread(
            self._writer, lambda: self._write("NORMAL", lambda c: query(c, *args, **kwargs))
        )

    def close(self) -> None:
        """See Database."""
        self._writer.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        self.engine.dispose()
        if self._temporary:
            self._temporary.cleanup()

    def _write(self, synchronous: str, job: Callable[[Connection], T]) -> T:
        connection = self._connection(synchronous, "BEGIN IMMEDIATE", synchronous)
        try:
            with connection.begin():
                return job(connection)
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorname", "") == _SQLITE_FULL:
                raise StorageFull from error
            raise

    def _connection(self, name: str, begin: str, synchronous: str) -> Connection:
        connection: Connection | None = getattr(self._own, name, None)
        if connection is None:
            connection = self.engine.connect()
            connection.info["begin"] = begin
            # Past SQLAlchemy, which would begin a transaction first; inside of one the setting cannot be changed.
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA synchronous = {synchronous}")
            setattr(self._own, name, connection)
            self._opened.append(connection)
        return connection


class PostgresDatabase(Database):
    """Postgres through psycopg: a pool of connections, and as many threads to wait for it."""

    def __init__(self, url: str, pool_size: int) -> None:
        self.engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
        )
        self._snapshots = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="db")

    async def read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database."""
        return await _in_thread(self._threads, lambda: self._read(lambda c: query(c, *args, **kwargs)))

    async def write(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database."""
        return await _in_thread(self._threads, lambda: self._write("on", lambda c: query(c, *args, **kwargs)))

    async def write_soon(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See Database."""
        return await _in_thread(
            self._threads, lambda: self._write("off", lambda c: query(c, *args, **kwargs))
        )

    def close(self) -> None:
        """See Database."""
        self._threads.shutdown(wait=True)
        self.engine.dispose()

    def _read(self, job: Callable[[Connection], T]) -> T:
        with self._snapshots.connect() as connection, connection.begin():
            return job(connection)

    def _write(self, synchronous: str, job: Callable[[Connection], T]) -> T:
        for attempt in range(_RETRIES_MAX):
            try:
                with self.engine.begin() as connection:
                    connection.execute(text(f"SET LOCAL synchronous_commit = {synchronous}"))
                    return job(connection)
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state == _POSTGRES_FULL:
                    raise StorageFull from error
                if state not in _POSTGRES_RETRYABLE or attempt == _RETRIES_MAX - 1:
                    raise
        raise AssertionError("unreachable")


def _sqlite_engine(url: str, busy_seconds_max: float) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": busy_seconds_max},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: SqliteConnection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # The driver's own idea of when a transaction begins is switched off (isolation_level): it begins one only
        # at the first write, and a write must own the database before its first look at it.
        connection.exec_driver_sql(connection.info.get("begin", "BEGIN"))

    return engine


async def _in_thread(threads: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, function)
