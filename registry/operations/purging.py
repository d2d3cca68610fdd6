"""Purging: takes away uploads that nobody finished, rows first and bytes second."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import structlog

from registry.db import uploads
from registry.db.clock import now_us
from registry.operations.uploads import discard

if TYPE_CHECKING:
    from registry.operations.registry import Registry

_PORTION: Final = 100

log = structlog.get_logger(__name__)


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
    purged = 0
    while idle := await registry.database.read(uploads.idle, idle_since_us, _PORTION):
        for upload_id in idle:
            # Asked again in the transaction that takes it away: a client may just have gone on.
            if await registry.database.write_soon(uploads.end_idle, upload_id, idle_since_us):
                await discard(registry, upload_id)
                purged += 1
    return purged


async def _purge_bytes_without_row(registry: Registry, idle_seconds: float) -> int:
    purged = 0
    async for staged in registry.store.uploads():
        if staged.modified > time.time() - idle_seconds:
            continue
        if not await registry.database.read(uploads.exists, staged.upload):
            await discard(registry, staged.upload)
            purged += 1
    return purged
