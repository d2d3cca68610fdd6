"""Running hashes of uploads: a convenience of the process that received the bytes, never the only copy.

Where the hash of an upload is not at hand (another worker took a chunk, a restart, another algorithm is asked for), it
is made by reading the bytes back: once, at the end. To do so with each chunk would read a large upload hundreds of
times, where its chunks go round several replicas. A hash's inner state is never written anywhere: reading it back in
would mean to trust it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from registry.oci.digest import Digest
from registry.threads import in_thread

if TYPE_CHECKING:
    from registry.db.uploads import Upload

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

    def digest(self) -> Digest:
        """The digest of the bytes so far."""
        return Digest.from_hash(self._hasher)


class RunningHashes:
    """The running hashes that this process has at hand, of uploads as they were acknowledged; the oldest go first."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[str, tuple[Upload, RunningHash]] = OrderedDict()

    def take(self, upload: Upload, algorithm: str) -> RunningHash:
        """The hash of all bytes of the upload where it is at hand, else of none. Its taker owns it."""
        kept = self._hashes.pop(upload.id, None)
        # As they were, and not as many: after a crash of the database, others may have sent other bytes in their place.
        if kept is None or kept[0] != upload or kept[1].algorithm != algorithm:
            return RunningHash(algorithm)
        return kept[1]

    def keep(self, upload: Upload, running: RunningHash) -> None:
        """Give the hash of all bytes of the upload back, for its next request."""
        if not running.size:
            return
        self._hashes[upload.id] = upload, running
        while len(self._hashes) > _UPLOADS_MAX:
            self._hashes.popitem(last=False)

    def forget(self, upload: str) -> None:
        """The upload has ended."""
        self._hashes.pop(upload, None)
