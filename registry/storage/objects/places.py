"""How many uploads write to the bucket at the same time in this process: each takes memory for the parts it sends.

What is one small object takes none of it, and no place (`staged.py`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from registry import logs
from registry.oci.errors import Unavailable

PLACES_MAX: Final = 32
"""Together they take 432 MiB at most (`parts.py`), whatever the number of clients."""
_WAIT_SECONDS_MAX: Final = 30.0
"""As long as a busy database lets a request wait; proxies and clients give up after a minute or more."""

log = logs.logger(__name__)


class Places:
    """So many as there are, given to those who wait in the order in which they came."""

    def __init__(self) -> None:
        self.taken = 0
        self._free = asyncio.Semaphore(PLACES_MAX)

    async def take(self) -> None:
        """Wait for one; Unavailable when none is free for too long."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS_MAX):
                await self._free.acquire()
        except TimeoutError:
            log.warning("no place to receive an upload", places=PLACES_MAX, seconds=_WAIT_SECONDS_MAX)
            raise Unavailable("too many uploads are being received at the moment; try again") from None
        self.taken += 1

    def give_back(self) -> None:
        """One that was taken."""
        self.taken -= 1
        self._free.release()
