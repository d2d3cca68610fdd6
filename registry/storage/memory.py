"""A store in memory: the plainest correct one, for tests, and the model that the others are compared with."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from registry.storage.contract import BlobMissing, StagedBusy, StagedBytesLost, StagedUpload, StoredBlob
from registry.storage.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.oci.digest import Digest
    from registry.storage.contract import Stray


class MemoryStore:
    """Blobs in a dictionary."""

    description = "memory (gone when the registry stops)"

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._staged: dict[str, bytearray] = {}
        self._modified: dict[str, float] = {}
        self._held: set[str] = set()
        self.journal = MemoryJournal()

    async def open(self) -> None:
        """Nothing to make ready."""

    async def ping(self) -> None:
        """Memory is always there."""

    @asynccontextmanager
    async def stage(self, upload: str, state: str = "") -> AsyncIterator[MemoryStaged]:
        """See the contract."""
        del state  # who holds is known here
        if upload in self._held:
            raise StagedBusy
        self._held.add(upload)
        try:
            yield MemoryStaged(self, upload, self._staged.setdefault(upload, bytearray()))
        finally:
            self._held.discard(upload)
            if upload in self._staged:
                self._modified[upload] = time.time()
            else:
                self._modified.pop(upload, None)

    async def discard(self, upload: str) -> None:
        """See the contract."""
        if upload in self._held:
            raise StagedBusy
        self._staged.pop(upload, None)
        self._modified.pop(upload, None)

    @asynccontextmanager
    async def reader(self, digest: Digest) -> AsyncIterator[MemoryReader]:
        """See the contract."""
        if digest not in self._blobs:
            raise BlobMissing(digest)
        yield MemoryReader(self._blobs[digest])

    async def delete(self, digest: Digest) -> None:
        """See the contract."""
        self._blobs.pop(digest, None)

    async def blobs(self) -> AsyncIterator[StoredBlob]:
        """See the contract."""
        for digest, content in list(self._blobs.items()):
            yield StoredBlob(digest, len(content))

    async def uploads(self) -> AsyncIterator[StagedUpload]:
        """See the contract."""
        for upload in list(self._staged):
            yield StagedUpload(upload, self._modified.get(upload, time.time()))

    async def strays(self, beginning: str = "") -> AsyncIterator[Stray]:
        """See the contract: what is staged has the name of its upload."""
        del beginning
        none: tuple[Stray, ...] = ()
        for stray in none:
            yield stray

    async def sweep(self, age_seconds: float) -> int:
        """See the contract: nothing is left over."""
        del age_seconds
        return 0

    def close(self) -> None:
        """See the contract."""

    def publish(self, upload: str, digest: Digest) -> None:
        """Move staged bytes under their digest; for `MemoryStaged` alone."""
        self._blobs[digest] = bytes(self._staged.pop(upload))


class MemoryStaged:
    """Staged bytes in memory."""

    state = ""

    def __init__(self, store: MemoryStore, upload: str, content: bytearray) -> None:
        self._store = store
        self._upload = upload
        self._content = content

    @property
    def size(self) -> int:
        """See the contract."""
        return len(self._content)

    @property
    def flushed(self) -> int:
        """See the contract."""
        return len(self._content)

    async def flush(self) -> None:
        """See the contract."""

    async def cut(self, size: int) -> None:
        """See the contract."""
        if len(self._content) < size:
            raise StagedBytesLost
        del self._content[size:]

    async def write(self, chunk: bytes) -> None:
        """See the contract."""
        self._content += chunk

    async def read(self) -> AsyncIterator[bytes]:
        """See the contract."""
        yield bytes(self._content)

    async def publish(self, digest: Digest) -> None:
        """See the contract."""
        self._store.publish(self._upload, digest)


class MemoryReader:
    """A blob in memory."""

    file = None

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    async def url(self, seconds: float) -> None:
        """See the contract."""
        del seconds

    async def read(self, offset: int, length: int) -> bytes:
        """See the contract."""
        return self._content[offset : offset + length]
