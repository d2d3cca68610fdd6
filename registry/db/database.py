"""Runs query functions on a database: SQLite in this process, or Postgres.

A query function is plain and synchronous: `def find(connection, ...)`. `read` runs one in a transaction that sees one
state of the database, `write` in one that is committed, or rolled back when the function raises. A function may run
more than once: when the database asks for it, a transaction is tried again from its beginning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, text

from registry.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

__all__ = ["Connection", "Database", "open_database"]

P = ParamSpec("P")
T = TypeVar("T")


class Database(ABC):
    """A database with the registry's tables."""

    engine: Engine

    async def read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `query` returns; it must not write. Raises Unavailable where the database does not answer."""
        return await self._read(lambda connection: query(connection, *args, **kwargs))

    async def look(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `read`, for a query of one statement, which sees one state of the database without a transaction."""
        return await self._look(lambda connection: query(connection, *args, **kwargs))

    async def survey(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `read`, for a command that looks at whole tables: it may take as long as it takes."""
        return await self._survey(lambda connection: query(connection, *args, **kwargs))

    async def write(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `query` returns, once its changes are on disk. Raises Unavailable or StorageFull."""
        return await self._write(lambda connection: query(connection, *args, **kwargs), durable=True)

    async def write_soon(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`, for what may be lost in a power cut (uploads that nobody has finished): costs no fsync."""
        return await self._write(lambda connection: query(connection, *args, **kwargs), durable=False)

    async def stream(
        self,
        query: Callable[Concatenate[Connection, P], Iterator[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncGenerator[T, None]:
        """What `query` yields, all of it from one state of the database, however long that takes; raises as `read`.

        It has a connection of its own, and a thread while it looks for the next thing: no request waits for it.
        """
        walk = self._walk(lambda connection: query(connection, *args, **kwargs))
        try:
            while (found := await in_thread(None, _next, walk)) is not None:
                yield found[0]
        finally:
            await in_thread(None, walk.close)

    async def ping(self) -> None:
        """Raise where the database does not answer."""
        await self.look(ask)

    @abstractmethod
    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """Whether nobody else is within such a block for the same task, in this process or another.

        A process that dies is in none. For work that more than one may do without harm, but should not: where the
        database is lost within the block, so is the claim.
        """

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    def _walk(self, query: Callable[[Connection], Iterator[T]]) -> Generator[T, None, None]:
        with self._snapshot() as connection:
            yield from query(connection)

    @abstractmethod
    def _snapshot(self) -> AbstractContextManager[Connection]:
        """A connection of its own, within a transaction that reads one state of the database."""

    @abstractmethod
    async def _look(self, job: Callable[[Connection], T]) -> T: ...

    @abstractmethod
    async def _read(self, job: Callable[[Connection], T]) -> T: ...

    async def _survey(self, job: Callable[[Connection], T]) -> T:
        return await self._read(job)

    @abstractmethod
    async def _write(self, job: Callable[[Connection], T], *, durable: bool) -> T: ...


def ask(connection: Connection) -> None:
    """The least that can be asked for."""
    connection.execute(text("SELECT 1"))


def _next(walk: Iterator[T]) -> tuple[T] | None:
    # Within a tuple, since StopIteration cannot leave a thread, and whatever else would say "the end" may be yielded.
    for found in walk:
        return (found,)
    return None


def open_database(url: str, *, pool_size: int = 10, busy_seconds_max: float = 30) -> Database:
    """The database behind a `sqlite:` or `postgresql:` URL; `sqlite://` alone is one that is gone afterwards."""
    if url.startswith("sqlite:"):
        from registry.db.sqlite import SqliteDatabase

        return SqliteDatabase(url, busy_seconds_max)
    from registry.db.postgres import PostgresDatabase

    return PostgresDatabase(url, pool_size, busy_seconds_max)
