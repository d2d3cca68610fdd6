"""Purging: takes away uploads that nobody finished.

Their bytes are freed before their rows go, against the usual order: a database on the same full disk has room to write
only then. What a crash leaves in between is a row with fewer bytes than it says, an upload that has ended.
"""

from __future__ import annotations

import asyncio
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
    from registry.operations.registry import Registry

_PORTION: Final = 100

log = logs.logger(__name__)


async def purge_forever(registry: Registry, interval_seconds: float) -> None:
    """Purge again and again; a failure is logged, and the next turn tries again."""
    while True:
        # Not all replicas at the same moment; that they do it more than once is harmless.
        await asyncio.sleep(interval_seconds * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        try:
            purged = await purge(registry)
        except Exception:
            log.exception("purging unfinished uploads failed")
        else:
            if purged:
                log.info("purged unfinished uploads", uploads=purged)


async def purge(registry: Registry) -> int:
    """Take away what was idle for too long; how many uploads that were."""
    idle_seconds = registry.settings.upload_idle_seconds_max
    return await _purge_rows(registry, idle_seconds) + await _purge_bytes_without_row(registry, idle_seconds)


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
            # Asked again now that nobody else can: a client may just have gone on.
            if await registry.database.read(uploads.goes_on, upload_id, idle_since_us):
                return False
            await staged.cut(0)
            ended = await registry.database.write_soon(uploads.end, upload_id)
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
