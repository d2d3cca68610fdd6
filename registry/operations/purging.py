"""Purging: takes away uploads that nobody finished, and bytes that nothing names.

Their bytes are freed before their rows go, against the usual order: a database on the same full disk has room to write
only then. What a crash leaves in between is a row with fewer bytes than it says, an upload that has ended.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import TYPE_CHECKING, Final

from registry import logs
from registry.db import uploads
from registry.db.clock import now_us
from registry.oci.errors import RegistryError
from registry.operations.uploads import discard
from registry.storage.contract import StagedBusy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from registry.operations.registry import Registry

_PORTION: Final = 100
_LEFTOVER_SECONDS_MIN: Final = 3600.0
"""Longer than anybody reads on from a blob that was deleted, or relies on where it was."""
_STRAY_SECONDS_MIN: Final = 86_400.0
"""Bytes that nothing names cost a little room and nothing else, so there is no hurry."""
_PARTS: Final = tuple(f"{number:02x}" for number in range(256))
"""To find strays is to look at every blob, which costs as many requests. Each turn looks at one part of the uploads, by
how their ids begin: with a turn an hour, every upload is looked at once in eleven days."""

log = logs.logger(__name__)


async def purge_forever(registry: Registry, interval_seconds: float) -> None:
    """Purge again and again, at one replica; a failure is logged, and the next turn tries again."""
    parts = itertools.cycle(random.sample(_PARTS, len(_PARTS)))
    while True:
        pause = asyncio.create_task(asyncio.sleep(interval_seconds * random.uniform(0.5, 1.5)))  # noqa: S311 - no secret
        try:
            await _take_turn(registry, pause, parts)
        except Exception:
            log.exception("purging unfinished uploads failed")
        await pause


async def _take_turn(registry: Registry, pause: Awaitable[None], parts: Iterator[str]) -> None:
    """Purge after the pause, unless another replica was waiting to do so already.

    Who waits first goes on doing it: the others find the place taken at each of their turns, until it is free.
    """
    async with registry.database.alone("purging") as alone:
        if not alone:
            return
        await pause
        if purged := await purge(registry):
            log.info("purged unfinished uploads", uploads=purged)
        if strays := await purge_strays(registry, next(parts)):
            log.info("took away bytes that nothing names", uploads=strays)


async def purge(registry: Registry) -> int:
    """Take away what was idle for too long; how many uploads that were."""
    idle_seconds = registry.settings.upload_idle_seconds_max
    if swept := await registry.store.sweep(max(idle_seconds, _LEFTOVER_SECONDS_MIN)):
        log.info("swept what deleted blobs and broken pushes have left", objects=swept)
    return await _purge_rows(registry, idle_seconds) + await _purge_bytes_without_row(registry, idle_seconds)


async def purge_strays(registry: Registry, beginning: str) -> int:
    """Take away bytes that nothing names, of uploads whose id begins so; of how many uploads they were.

    What the row of an upload names is kept. A row that comes later names bytes that are written later, or finds that
    they are gone.
    """
    since = time.time() - max(registry.settings.upload_idle_seconds_max, _STRAY_SECONDS_MIN)
    purged = 0
    async for stray in registry.store.strays(beginning):
        if stray.modified > since or await registry.database.read(uploads.exists, stray.upload):
            continue
        await discard(registry, stray.upload)
        purged += 1
    return purged


async def _purge_rows(registry: Registry, idle_seconds: float) -> int:
    idle_since_us = now_us() - int(idle_seconds * 1_000_000)
    purged, last = 0, ""
    while idle := await registry.database.read(uploads.idle, idle_since_us, last, _PORTION):
        for upload_id in idle:
            purged += await _purge_upload(registry, upload_id, idle_since_us)
        last = idle[-1]
    return purged


async def _purge_upload(registry: Registry, upload_id: str, idle_since_us: int) -> bool:
    """Whether it was taken away; one that fails holds up no other, and has its next turn."""
    try:
        async with registry.store.stage(upload_id) as staged:
            # Asked again now that nobody else can, or in the end in one step: a client may just have gone on.
            if await registry.database.read(uploads.goes_on, upload_id, idle_since_us):
                return False
            await staged.cut(0)
            ended = await registry.database.write_soon(uploads.end_idle, upload_id, idle_since_us)
            if not ended and await registry.database.read(uploads.exists, upload_id):
                return False
        await discard(registry, upload_id)
    except StagedBusy:
        return False
    except (RegistryError, OSError) as error:
        log.warning("an unfinished upload could not be purged", upload=upload_id, error=repr(error))
        return False
    return ended


async def _purge_bytes_without_row(registry: Registry, idle_seconds: float) -> int:
    purged = 0
    async for staged in registry.store.uploads():
        if staged.modified > time.time() - idle_seconds:
            continue
        if not await registry.database.read(uploads.exists, staged.upload):
            await discard(registry, staged.upload)
            purged += 1
    return purged
