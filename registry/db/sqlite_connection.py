"""A connection to SQLite that runs query functions, each in a transaction of its own or many in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from registry.db.prepared import DRIVER

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

OWNED: Final = "owned"
"""In a connection's `info`: its transactions are begun and ended here, not by SQLAlchemy."""


class TransactionLost(Exception):
    """SQLite gave up a whole transaction, with all that several query functions did in it."""


class SqliteConnection:
    """Begins and ends transactions by the driver: by SQLAlchemy it would cost more than most queries do.

    SQLAlchemy does not know of these transactions, so what it believes to have begun is forgotten after each.
    `connection` may be used without one, for one statement, a prepared one.
    """

    def __init__(self, engine: Engine) -> None:
        self.connection: Connection = engine.connect()
        driver: Any = self.connection.connection.driver_connection
        self._driver: sqlite3.Connection = driver
        self._durable = True  # as the engine makes them
        self.connection.info[OWNED] = True
        self.connection.execution_options(**{DRIVER: self._driver})

    def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` returns, from one state of the database."""
        return self._run("BEGIN", query)

    def set_durable(self, *, durable: bool) -> None:
        """Whether the next commits wait for the disk."""
        if durable != self._durable:
            self._driver.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def write(self, query: Callable[[Connection], T]) -> T:
        """What `query` returns, once its changes are committed."""
        # A write must own the database before its first look at it.
        return self._run("BEGIN IMMEDIATE", query)

    def write_together(self, queries: Sequence[Callable[[Connection], object]]) -> list[object]:
        """What each returns, or the exception that it raised and left nothing with, after one commit for all of them.

        TransactionLost where SQLite has undone all of it: then each is to be run by itself.
        """
        return self._run(
            "BEGIN IMMEDIATE", lambda connection: [self._run_in_savepoint(connection, q) for q in queries]
        )

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _run(self, begin: str, query: Callable[[Connection], T]) -> T:
        driver = self._driver
        driver.execute(begin)
        try:
            result = query(self.connection)
            driver.execute("COMMIT")
        except BaseException:
            driver.rollback()
            raise
        finally:
            if (believed := self.connection.get_transaction()) is not None:
                believed.rollback()
        return result

    def _run_in_savepoint(self, connection: Connection, query: Callable[[Connection], object]) -> object:
        self._driver.execute("SAVEPOINT query")
        outcome: object
        try:
            outcome = query(connection)
        except Exception as error:
            if not self._driver.in_transaction:
                raise TransactionLost from error
            self._driver.execute("ROLLBACK TO query")
            outcome = error
        self._driver.execute("RELEASE query")
        return outcome
