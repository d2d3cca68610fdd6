"""The one thread that writes to SQLite: those who wait for the disk at the same time share one commit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from registry.db.sqlite_connection import SqliteConnection, TransactionLost
from registry.threads import Returns

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

_TOGETHER_MAX: Final = 100
"""Writes of one commit: the first of them waits for the last."""


@dataclass(slots=True)
class _Write:
    """A query function, and who waits for what it returns."""

    query: Callable[[Connection], object]
    durable: bool
    returns: Returns
    waiter: asyncio.Future[Any]
    outcome: object = None

    def end(self, outcome: object) -> None:
        """This came of it; on the thread."""
        self.outcome = outcome
        self.returns.put(self)

    def settle(self) -> None:
        """Hand over what came of it, where somebody still waits; on the loop."""
        if self.waiter.done():
            return
        if isinstance(self.outcome, Exception):
            self.waiter.set_exception(self.outcome)
        else:
            self.waiter.set_result(self.outcome)


class SqliteWriter:
    """Runs query functions in the order in which they come.

    A commit waits for the disk where something in it must be durable; what need not be rides along for nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writes: SimpleQueue[_Write | None] = SimpleQueue()
        self._opened: SqliteConnection | None = None
        self._thread: Thread | None = None
        self._returns: Returns | None = None

    async def run(self, query: Callable[[Connection], T], *, durable: bool) -> T:
        """What `query` returns once it is committed; `durable`: and on disk."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="db-writer", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        if self._returns is None or self._returns.loop is not loop:
            self._returns = Returns(loop)
        waiter: asyncio.Future[T] = loop.create_future()
        self._writes.put(_Write(query, durable, self._returns, waiter))
        return await waiter

    def close(self) -> None:
        """Write what was asked for, and end."""
        if self._thread is not None:
            self._writes.put(None)
            self._thread.join()
        if self._opened is not None:
            self._opened.close()

    def _work(self) -> None:
        last = False
        while not last:
            writes = [self._writes.get()]
            with suppress(Empty):
                while len(writes) < _TOGETHER_MAX:
                    writes.append(self._writes.get_nowait())
            last = None in writes
            self._write([write for write in writes if write is not None])

    def _write(self, writes: list[_Write]) -> None:
        if len(writes) <= 1 or not self._write_together(writes):
            for write in writes:
                write.end(self._outcome(write))

    def _write_together(self, writes: list[_Write]) -> bool:
        outcomes: list[object]
        try:
            connection = self._connection(durable=any(write.durable for write in writes))
            outcomes = connection.write_together([write.query for write in writes])
        except TransactionLost:
            return False  # one of them broke what all did, so each runs by itself
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            outcomes = [error] * len(writes)
        for write, outcome in zip(writes, outcomes, strict=True):
            write.end(outcome)
        return True

    def _outcome(self, write: _Write) -> object:
        try:
            return self._connection(durable=write.durable).write(write.query)
        except Exception as error:  # noqa: BLE001 - as above
            return error

    def _connection(self, *, durable: bool) -> SqliteConnection:
        if self._opened is None:
            self._opened = SqliteConnection(self._engine)
        self._opened.set_durable(durable=durable)
        return self._opened
