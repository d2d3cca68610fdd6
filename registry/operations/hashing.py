"""Running hashes of uploads: a convenience of the process that received the bytes, never the only copy.

Where the hash of an upload is not at hand (another worker took a chunk, a restart, another algorithm is asked for), it
is made by reading the bytes back: once, at the end, and only those behind the first ones whose hash is at hand. To do
so with each chunk would read a large upload hundreds of times, where its chunks go round several replicas. A hash's
inner state is never written anywhere: reading it back in would mean to trust it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from registry.oci.digest import Digest
from registry.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_UPLOADS_MAX: Final = 10_000
_INLINE_BYTES_MAX: Final = 32 * 1024
"""Below this, hashing takes less than going to another thread for it."""


class RunningHash:
    """The hash of the first `size` bytes of an upload."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.size = 0
        self._hasher = hashlib.new(algorithm)

    async def update(self, chunk: bytes) -> None:
        """Take more bytes, off the loop where they are many."""
        if len(chunk) <= _INLINE_BYTES_MAX:
            self._hasher.update(chunk)
        else:
            await in_thread(None, self._hasher.update, chunk)
        self.size += len(chunk)

    async def catch_up(self, behind: AsyncIterator[bytes]) -> None:
        """Take the bytes of the upload that are `behind` the first `size` ones."""
        async for chunk in behind:
            await self.update(chunk)

    def digest(self) -> Digest:
        """The digest of the bytes so far."""
        return Digest.from_hash(self._hasher)


class RunningHashes:
    """The running hashes that this process has at hand, by upload; the oldest go first.

    Each is of bytes that were acknowledged, which nobody changes; others may have appended to them since.
    """

    def __init__(self) -> None:
        self._hashes: OrderedDict[str, RunningHash] = OrderedDict()

    def take(self, upload: str, algorithm: str, size: int) -> RunningHash:
        """The hash of as many of the first `size` bytes as it is at hand of, maybe of none. Its taker owns it."""
        running = self._hashes.pop(upload, None)
        if running is None or running.algorithm != algorithm or running.size > size:
            return RunningHash(algorithm)
        return running

    def keep(self, upload: str, running: RunningHash) -> None:
        """Give the hash back, for the next request of this upload."""
        if not running.size:
            return
        self._hashes[upload] = running
        while len(self._hashes) > _UPLOADS_MAX:
            self._hashes.popitem(last=False)

    def forget(self, upload: str) -> None:
        """The upload has ended."""
        self._hashes.pop(upload, None)
