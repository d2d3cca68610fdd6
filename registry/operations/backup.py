"""Backup and restore: the database as one file, and one file as the database. Blobs are copied by other means."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from registry.db import inspection
from registry.operations import snapshot
from registry.operations.check import check
from registry.operations.describing import begin_anew
from registry.operations.restoring import restore
from registry.storage.contract import StoredBlob

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Iterator, Sequence

    from registry.db.database import Connection, Database
    from registry.operations.backup_file import BackupReader, BackupWriter
    from registry.operations.check import CheckReport, Progress
    from registry.operations.entries import Entry
    from registry.operations.registry import Registry
    from registry.operations.restoring import RestoreReport


class NotEmpty(Exception):
    """The database that was to be restored has something in it."""


async def back_up(database: Database, writer: BackupWriter, progress: Progress) -> Counter[str]:
    """Write all that the database says at one moment, beside those who change it; what that was, counted."""
    done = 0
    async with aclosing(database.stream(_everything)) as portions:
        async for portion in portions:
            for thing in portion:
                writer.add(thing)
            done += len(portion)
            progress("lines", done, None)
    writer.end()
    return writer.counts


async def restore_backup(
    registry: Registry, reader: BackupReader, progress: Progress, *, deep: bool = False
) -> tuple[RestoreReport, CheckReport]:
    """Fill an empty database from a backup that was verified; then check the registry, `deep`: with every blob.

    An entry links every blob that the backup lists, so that those of them that the store does not have are reported as
    missing. NotEmpty where the database has rows.
    """
    await require_empty(registry.database)
    report = await restore(registry, _entries(reader), progress)
    unsaved = await begin_anew(registry)
    checked = await check(registry, progress, deep=deep)
    checked.problems += unsaved
    return report, checked


async def require_empty(database: Database) -> None:
    """NotEmpty where there are rows."""
    counts = await database.survey(inspection.counts)
    if any(counts.values()):
        held = ", ".join(f"{count} {what}" for what, count in counts.items())
        raise NotEmpty(f"the database is not empty: {held}")


def _everything(connection: Connection) -> Iterator[Sequence[Entry | StoredBlob]]:
    yield from snapshot.entries(connection)
    yield from snapshot.visible_blobs(connection)


async def _entries(reader: BackupReader) -> AsyncIterator[Entry]:
    for thing in reader.things():
        if not isinstance(thing, StoredBlob):
            yield thing
