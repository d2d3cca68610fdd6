"""A blob store whose disk is full for some requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.oci.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from registry.oci.digest import Digest
    from registry.storage.contract import BlobReader, BlobStore, Staged, StagedUpload, StoredBlob, Stray


class Disk:
    """How many bytes still fit, whoever writes them."""

    def __init__(self, size: int) -> None:
        self.size = size

    def take(self, chunk: bytes) -> bytes:
        """What fits of the chunk."""
        fitting = chunk[: self.size]
        self.size -= len(fitting)
        return fitting


@dataclass(frozen=True)
class Room:
    """What a request finds of a disk; `full` is called when that is not enough."""

    disk: Disk
    full: Callable[[], None]


room: ContextVar[Room | None] = ContextVar("room", default=None)
"""The room that the request at hand finds; None: as much as there is."""


class LimitedStore:
    """Another store, and the limits of `room`."""

    def __init__(self, store: BlobStore) -> None:
        """Take the store that has the bytes."""
        self._store = store
        self.description = store.description
        self.journal = store.journal

    async def open(self) -> None:
        """See BlobStore."""
        await self._store.open()

    async def ping(self) -> None:
        """See BlobStore."""
        await self._store.ping()

    @asynccontextmanager
    async def stage(self, upload: str, state: str = "") -> AsyncIterator[Staged]:
        """See BlobStore."""
        async with self._store.stage(upload, state) as staged:
            yield staged if (limit := room.get()) is None else _LimitedStaged(staged, limit)

    async def discard(self, upload: str) -> None:
        """See BlobStore."""
        await self._store.discard(upload)

    def reader(self, digest: Digest) -> AbstractAsyncContextManager[BlobReader]:
        """See BlobStore."""
        return self._store.reader(digest)

    async def delete(self, digest: Digest) -> None:
        """See BlobStore."""
        await self._store.delete(digest)

    def blobs(self) -> AsyncIterator[StoredBlob]:
        """See BlobStore."""
        return self._store.blobs()

    def uploads(self) -> AsyncIterator[StagedUpload]:
        """See BlobStore."""
        return self._store.uploads()

    def strays(self, beginning: str = "") -> AsyncIterator[Stray]:
        """See BlobStore."""
        return self._store.strays(beginning)

    async def sweep(self, age_seconds: float) -> int:
        """See BlobStore."""
        return await self._store.sweep(age_seconds)

    def close(self) -> None:
        """See BlobStore."""
        self._store.close()


class _LimitedStaged:
    """Staged bytes of which only some more fit."""

    def __init__(self, staged: Staged, room: Room) -> None:
        self._staged = staged
        self._room = room

    @property
    def size(self) -> int:
        return self._staged.size

    @property
    def flushed(self) -> int:
        return self._staged.flushed

    @property
    def state(self) -> str:
        return self._staged.state

    async def flush(self) -> None:
        await self._staged.flush()

    async def cut(self, size: int) -> None:
        await self._staged.cut(size)

    async def write(self, chunk: bytes) -> None:
        fitting = self._room.disk.take(chunk)
        await self._staged.write(fitting)
        if len(fitting) < len(chunk):
            self._room.full()
            raise StorageFull

    def read(self) -> AsyncIterator[bytes]:
        return self._staged.read()

    async def publish(self, digest: Digest) -> None:
        await self._staged.publish(digest)
