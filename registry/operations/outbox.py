"""Nobody is told that something has happened before it stands in the journal beside the blobs.

The transaction that changes a manifest or a tag leaves an entry in the database, which is then written to the store's
journal; those who wait at the same time share one write. A row whose entry is there goes later, with others. Where a
replica dies in between, the row stays, and `describing.py` writes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.db import journal as rows
from registry.oci.errors import Unavailable
from registry.operations.entries import dump
from registry.storage.journal import APPENDED_BYTES_MAX, Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.db.database import Connection, Database
    from registry.operations.entries import Entry
    from registry.storage.journal import Journal


_STOPPED: Final = "the journal is not written any more, the registry stops"


def note(connection: Connection, entry: Entry) -> Line:
    """Leave the entry in the database; last in its transaction."""
    text = dump(entry)
    return Line(rows.note(connection, text.decode()), text)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Lines, and who waits until they are in the journal."""

    lines: Sequence[Line]
    waiter: asyncio.Future[None]

    def settle(self, error: Exception | None) -> None:
        """Tell who waits; nobody may do so any more."""
        if self.waiter.done():
            return
        if error is None:
            self.waiter.set_result(None)
        else:
            self.waiter.set_exception(error)


def _settle(deliveries: Iterable[_Delivery], failure: Exception | None) -> None:
    for delivery in deliveries:
        delivery.settle(failure)


class Outbox:
    """What this process has committed and not yet written to the journal, and what it has written since."""

    def __init__(self) -> None:
        self._waiting: list[_Delivery] = []
        self._writing: asyncio.Task[None] | None = None
        self._written: list[int] = []

    async def deliver(self, journal: Journal, lines: Sequence[Line]) -> None:
        """Write lines that are committed; returns when they are durable, raises as `Journal.append`."""
        delivery = _Delivery(lines, asyncio.get_running_loop().create_future())
        self._waiting.append(delivery)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(journal))
        await delivery.waiter

    async def tidy(self, database: Database) -> None:
        """Take the rows away whose entries are written; costs no fsync, and where it fails they are written again."""
        written, self._written = self._written, []
        if written:
            await database.write_soon(rows.remove, written)

    async def _write_all(self, journal: Journal) -> None:
        try:
            while self._waiting:
                await self._write(journal, self._take())
        finally:
            self._writing = None
            _settle(self._waiting, Unavailable(_STOPPED))  # nobody is left, unless we were cancelled
            self._waiting = []

    async def _write(self, journal: Journal, deliveries: Sequence[_Delivery]) -> None:
        lines = [line for delivery in deliveries for line in delivery.lines]
        failure: Exception | None = Unavailable(_STOPPED)
        try:
            await journal.append(lines)
            self._written += [line.id for line in lines]
            failure = None
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            failure = error
        finally:
            _settle(deliveries, failure)

    def _take(self) -> list[_Delivery]:
        """Those who wait now, the first of them, and more as long as all together are not too much."""
        size, count = 0, 0
        for delivery in self._waiting:
            size += sum(len(line.text) for line in delivery.lines)
            if count and size > APPENDED_BYTES_MAX:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken
