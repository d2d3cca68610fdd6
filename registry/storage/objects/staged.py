"""Staged bytes in object storage: each request writes segments of its own, through multipart uploads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from registry.storage.contract import CHUNK_BYTES, StagedBytesLost
from registry.storage.objects.layout import (
    Index,
    Segment,
    decode_state,
    encode_state,
    new_segment_key,
    upload_key,
)
from registry.storage.objects.parts import PARTS_MIN, parts_for
from registry.storage.objects.reader import ObjectReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.oci.digest import Digest
    from registry.storage.objects.parts import Parts
    from registry.storage.objects.service import Service
    from registry.storage.objects.store import ObjectStore

_SEGMENT_BYTES_MAX: Final = 9_999 * PARTS_MIN.size
"""A multipart upload has at most 10,000 parts. What is larger, some 48 GiB, becomes several segments."""
_MARK_SECONDS: Final = 60.0
"""How often the mark of an upload is renewed while bytes arrive: by its age it is told whether anybody is at work."""


class ObjectStaged:
    """The segments that the state told of, and those that were written since."""

    def __init__(self, store: ObjectStore, upload: str, state: str) -> None:
        self._store = store
        self._upload = upload
        self._segments = decode_state(upload, state)
        self._first = b""
        """A piece that may be all that comes: then it is one small object, for which nobody waits for a place."""
        self._writing: _Writing | None = None
        self._has_place = False
        self._marked_at: float | None = None

    @property
    def flushed(self) -> int:
        """See the contract."""
        return sum(segment.size for segment in self._segments)

    @property
    def size(self) -> int:
        """See the contract."""
        return self.flushed + (self._writing.size if self._writing else 0) + len(self._first)

    @property
    def state(self) -> str:
        """See the contract."""
        return encode_state(self._upload, self._segments)

    async def cut(self, size: int) -> None:
        """See the contract; to cut within a segment is to write its first bytes again."""
        await self.flush()
        if self.size < size:
            raise StagedBytesLost
        while self.size > size:
            last = self._segments.pop()
            if (rest := size - self.flushed) > 0:
                async for piece in self._reader(last).pieces(rest):
                    await self.write(piece)
                await self.flush()

    async def write(self, chunk: bytes) -> None:
        """See the contract."""
        if not chunk:
            return
        await self._mark()
        if not self._has_place and not self._first and len(chunk) <= CHUNK_BYTES:
            self._first = chunk
            return
        await self._take_place()
        await self._send_first()
        await self._send(chunk)

    async def _send_first(self) -> None:
        first, self._first = self._first, b""
        if first:
            await self._send(first)

    async def _send(self, chunk: bytes) -> None:
        if self._writing and self._writing.size + len(chunk) > _SEGMENT_BYTES_MAX:
            await self._end_segment()
        if self._writing is None:
            parts = parts_for(self._store.places.taken)
            self._writing = _Writing(self._store.service, new_segment_key(self._upload), parts)
        await self._writing.write(chunk)

    async def flush(self) -> None:
        """See the contract."""
        await self._send_first()
        await self._end_segment()

    async def _end_segment(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self._segments.append(await writing.end())

    async def read(self) -> AsyncIterator[bytes]:
        """See the contract."""
        await self.flush()
        async for piece in self._reader(*self._segments).pieces(self.size):
            yield piece

    async def publish(self, digest: Digest) -> None:
        """See the contract."""
        await self.flush()
        await self._store.publish(self._upload, digest, tuple(self._segments))

    def leave(self) -> None:
        """Forget what is not flushed, and let another write."""
        self._writing = None
        if self._has_place:
            self._has_place = False
            self._store.places.give_back()

    async def _take_place(self) -> None:
        """Kept to the end of the request, so that who has begun is never made to wait again."""
        if not self._has_place:
            await self._store.places.take()
            self._has_place = True

    def _reader(self, *segments: Segment) -> ObjectReader:
        return ObjectReader(self._store.service, self._store.budget, Index(segments), _lost)

    async def _mark(self) -> None:
        """Before any byte is written, so that none is ever without a mark."""
        now = time.monotonic()
        if self._marked_at is None or now - self._marked_at > _MARK_SECONDS:
            await self._store.service.put(upload_key(self._upload), b"")
            self._marked_at = now


class _Writing:
    """A segment that is being written; forgotten where it is not ended."""

    def __init__(self, service: Service, key: str, parts: Parts) -> None:
        self._service = service
        self._key = key
        self._file = service.writer(key, parts)
        self.size = 0

    async def write(self, chunk: bytes) -> None:
        await self._service.write(self._file, chunk)
        self.size += len(chunk)

    async def end(self) -> Segment:
        await self._service.complete(self._file, self._key, self.size)
        return Segment(self._key, self.size)


async def _lost(index: Index) -> Index:
    raise StagedBytesLost(index)
