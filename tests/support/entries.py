"""What a registry holds, as entries, and a registry that holds what entries tell."""

from __future__ import annotations

import io
from contextlib import aclosing
from typing import TYPE_CHECKING

from registry.operations import backup, restoring, snapshot
from registry.operations.backup_file import BackupReader, BackupWriter, Header
from registry.operations.entries import dump
from tests.support.tables import empty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from registry.operations.check import CheckReport
    from registry.operations.entries import Entry
    from registry.operations.registry import Registry
    from registry.operations.restoring import RestoreReport


async def content(registry: Registry) -> list[Entry]:
    """All that the database says."""
    async with aclosing(registry.database.stream(snapshot.entries)) as portions:
        return [entry async for portion in portions for entry in portion]


def lines(entries: Iterable[Entry]) -> list[bytes]:
    """The entries in an order that does not depend on when their rows were made, to compare by."""
    return sorted(map(dump, entries))


async def apply(registry: Registry, *entries: Entry) -> RestoreReport:
    """Let it be as the entries tell."""
    return await restoring.restore(registry, _stream(entries))


async def start_anew(registry: Registry, *entries: Entry) -> RestoreReport:
    """Lose the database, and let it be as the entries tell."""
    empty(registry.database)
    return await apply(registry, *entries)


async def backed_up(registry: Registry) -> io.BytesIO:
    """A backup of the registry."""
    file = io.BytesIO()
    await backup.back_up(registry.database, BackupWriter(file, Header("0", "0", 0)), lambda *_: None)
    return file


async def restored(
    registry: Registry, file: io.BytesIO, *, deep: bool = False
) -> tuple[RestoreReport, CheckReport]:
    """Verify a backup, fill the registry from it, and check that."""
    reader = BackupReader(file)
    reader.verify()
    return await backup.restore_backup(registry, reader, lambda *_: None, deep=deep)


async def _stream(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    for entry in entries:
        yield entry
