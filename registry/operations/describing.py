"""Keeps the store's journal complete and short: entries that were left over are written, and snapshots renewed.

A snapshot holds the whole database, so that a journal need not reach back to its beginning, nor have begun with the
first push. It says up to which entry it goes: of what comes later, some may be in it already, which does no harm, since
entries are put in order and say what is so from then on.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from registry import logs
from registry.db import journal as rows
from registry.db.clock import now_us
from registry.oci.errors import RegistryError, Unavailable
from registry.operations import snapshot
from registry.operations.packing import pack
from registry.storage.journal import APPENDED_BYTES_MAX, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from registry.operations.registry import Registry
    from registry.storage.journal import Snapshot

_TURN_SECONDS: Final = 60.0
_TIDY_SECONDS: Final = 5.0
_LEFT_OVER_SECONDS: Final = 60.0
"""An entry that has waited for so long was left by a replica that died, or could not write it."""
_SETTLE_SECONDS_MAX: Final = 60.0
_SETTLE_POLL_SECONDS: Final = 0.1
_DAY_SECONDS: Final = 86400.0
_ENTRIES_MAX: Final = 100_000
"""After so many entries there is a new snapshot; and after a day, where there was one entry."""
_KEPT_SECONDS: Final = 7 * _DAY_SECONDS
"""For so long, what a snapshot has made superfluous stays: the registry can be rebuilt as it was meanwhile."""
_LOST: Final = (
    "the database is empty, and there is a journal or a snapshot of a registry in {store}. Is database.url the right "
    "one, and the store this registry's own? If the database was lost: registry rebuild. If an empty registry is "
    "wanted: take journal/ and snapshots/ away from the store"
)
GAP: Final = 10 * _ENTRIES_MAX
"""Left between the greatest id that was seen in a journal and the next one: some may have been overlooked.

More than `_ENTRIES_MAX`, so that a snapshot follows soon.
"""

log = logs.logger(__name__)


class DatabaseLost(Exception):
    """The store tells of a registry, and the database of none."""


async def describe_forever(registry: Registry) -> None:
    """Tidy up after oneself, and at one replica write what others have left; a failure is logged, and tried again."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_tidy_forever(registry))
        tasks.create_task(_take_turns_forever(registry))


async def look_around(registry: Registry) -> None:
    """At the start: what a journal tells that the database knows nothing of is never overwritten, and said.

    DatabaseLost where the database is empty: a registry that goes on would soon tell that there never was more. One
    that was begun anew has given ids, and is empty because its past is.
    """
    untils = await _untils(registry)
    reached = await registry.store.journal.reached(max(untils, default=0))
    if await registry.database.read(rows.is_empty):
        highest = await registry.database.read(rows.highest)
        if highest < reached or (untils and not highest):
            raise DatabaseLost(_LOST.format(store=registry.store.description))
    await _compare(registry, reached)


async def begin_anew(registry: Registry) -> list[str]:
    """The database was filled from elsewhere: what the store tells begins with what it holds now.

    What the journal has already is older than all that will come, and a snapshot is newer than all of it. No server
    runs, so that there is nobody to wait for. A line where the snapshot could not be saved: it is saved later.
    """
    await registry.store.open()
    await _skip_ids(registry, await _reached(registry))
    try:
        await _save(registry, await registry.database.read(rows.highest))
    except (RegistryError, OSError) as error:
        log.exception("saving a snapshot failed")
        return [f"no snapshot could be saved, the registry saves one when it runs: {error!r}"]
    return []


async def describe(registry: Registry) -> None:
    """Write what was left over; save a snapshot where it is time for one, and forget what is told by older ones.

    The database may have become an older one while we ran, where its server failed over: that is looked at first.
    """
    await _compare(registry, await _reached(registry))
    await _write_left_over(registry)
    if await _is_due(registry):
        await save_snapshot(registry)
        await _forget(registry)


async def save_snapshot(registry: Registry) -> None:
    """Write the whole database beside the blobs."""
    await _save(registry, await _settled(registry))


async def _save(registry: Registry, until: int) -> None:
    began = time.monotonic()
    portions = registry.database.stream(snapshot.entries)
    await registry.store.journal.save(until, pack(portions))
    log.info("saved a snapshot beside the blobs", until=until, seconds=round(time.monotonic() - began, 3))


async def _compare(registry: Registry, reached: int) -> None:
    if await registry.database.read(rows.highest) < reached:
        await _skip_ids(registry, reached)
        log.error("the store's journal tells of more than the database knows of", entry=reached)


async def _untils(registry: Registry) -> list[int]:
    return [found.until async for found in registry.store.journal.snapshots()]


async def _reached(registry: Registry) -> int:
    return await registry.store.journal.reached(max(await _untils(registry), default=0))


async def _skip_ids(registry: Registry, reached: int) -> None:
    """Number what comes from now on far behind an entry that is in the journal."""
    await registry.database.write(rows.advance, reached + GAP)


async def _tidy_forever(registry: Registry) -> None:
    while True:
        await asyncio.sleep(_TIDY_SECONDS)
        try:
            await registry.outbox.tidy(registry.database)
        except Exception:
            log.exception("tidying up after the journal failed")


async def _take_turns_forever(registry: Registry) -> None:
    try:
        await _describe_first(registry)
    except Exception:
        log.exception("saving the first snapshot failed")
    while True:
        pause = asyncio.create_task(asyncio.sleep(_TURN_SECONDS * random.uniform(0.5, 1.5)))  # noqa: S311 - no secret
        try:
            await _take_turn(registry, pause)
        except Exception:
            log.exception("keeping the journal failed")
        await pause


async def _describe_first(registry: Registry) -> None:
    """What was pushed before there was a journal is told at once, not a turn later."""
    async with registry.database.alone("describing") as alone:
        if alone and await newest_snapshot(registry) is None:
            await describe(registry)


async def _take_turn(registry: Registry, pause: Awaitable[None]) -> None:
    """As purging does: who waits first goes on doing it."""
    async with registry.database.alone("describing") as alone:
        if alone:
            await pause
            await describe(registry)


async def _write_left_over(registry: Registry) -> None:
    """One that is being written by its own replica at this moment is written twice, which does no harm."""
    since_us = now_us() - int(_LEFT_OVER_SECONDS * 1_000_000)
    while left := await registry.database.read(rows.left_over, since_us, APPENDED_BYTES_MAX):
        await registry.store.journal.append([Line(number, entry.encode()) for number, entry in left])
        await registry.database.write_soon(rows.remove, [number for number, _ in left])
        log.info("wrote what was left over to the journal", entries=len(left))


async def _is_due(registry: Registry) -> bool:
    newest = await newest_snapshot(registry)
    if newest is None:
        return not await registry.database.read(rows.is_empty)
    new = await registry.database.read(rows.highest) - newest.until
    old = newest.saved_at < time.time() - _DAY_SECONDS
    much = not 0 <= new <= _ENTRIES_MAX  # below 0: the database is an older one than the snapshot's
    return (much or (new > 0 and old)) and not await registry.database.read(rows.is_empty)


async def newest_snapshot(registry: Registry, before: float | None = None) -> Snapshot | None:
    """The one that tells most, of all or of those saved before then (Unix time in seconds)."""
    found = [
        one async for one in registry.store.journal.snapshots() if before is None or one.saved_at < before
    ]
    return max(found, key=lambda one: (one.until, one.saved_at), default=None)


async def _settled(registry: Registry) -> int:
    """An id up to which everything has been committed, or never will be: a snapshot that begins now has all of it."""
    highest = await registry.database.read(rows.highest)
    writers = await registry.database.read(
        rows.writers
    )  # after `highest`: who was given an id by then is among them
    deadline = time.monotonic() + _SETTLE_SECONDS_MAX
    while writers := writers & await registry.database.read(rows.writers):
        if time.monotonic() > deadline:
            raise Unavailable("a transaction has been under way for too long to save a snapshot")
        await asyncio.sleep(_SETTLE_POLL_SECONDS)
    return highest


async def _forget(registry: Registry) -> None:
    """What is told by a snapshot that is a week old goes, and the snapshots of before it."""
    if base := await newest_snapshot(registry, time.time() - _KEPT_SECONDS):
        await registry.store.journal.forget(base.until)
