"""A blob in object storage, open for reading: one piece is fetched while the one before it is on its way out.

A reader holds at most two pieces of 4 MiB, and all readers of a process together 32 (`ahead.py`). One that finds
none free fetches what it is asked for, 1 MiB for a pull, and only then: no pull waits for another, slow one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.storage.contract import CHUNK_BYTES
from registry.storage.objects.ahead import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from registry.storage.objects.ahead import Budget
    from registry.storage.objects.layout import Index, Segment
    from registry.storage.objects.service import Service

_AHEAD: Final = 2
"""Pieces of one reader: from the first it is read, while the second is fetched."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes from `start` on, which are on their way or here."""

    start: int
    length: int
    content: asyncio.Task[memoryview]

    @property
    def end(self) -> int:
        return self.start + self.length

    def covers(self, offset: int, length: int) -> bool:
        return self.start <= offset and offset + length <= self.end


class ObjectReader:
    """A blob, by its index."""

    file = None

    def __init__(
        self, service: Service, budget: Budget, index: Index, moved: Callable[[Index], Awaitable[Index]]
    ) -> None:
        """`moved`: where the same bytes are now, when an object is not there; raises where they are nowhere."""
        self._service = service
        self._budget = budget
        self._index = index
        self._moved = moved
        self._pieces: list[_Piece] = []
        self._next = -1
        self.size = index.size

    async def url(self, seconds: float) -> str | None:
        """See the contract; a blob that came in one request is one object."""
        if len(self._index.segments) != 1:
            return None
        return await self._service.presign(self._index.segments[0].key, seconds)

    async def read(self, offset: int, length: int) -> bytes:
        """See the contract; who reads on where the last read ended is expected to go on."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if offset != self._next:
            await self.close()
            content = bytes(await self._fetch(offset, length))
        else:
            content = bytes(await self._read_on(offset, length))
        self._next = offset + length
        # At once, and not with the next read: a slow client may be minutes away from it.
        await self._give_up([piece for piece in self._pieces if piece.end <= self._next])
        return content

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        """The first `size` bytes."""
        try:
            for offset in range(0, size, CHUNK_BYTES):
                yield await self.read(offset, min(CHUNK_BYTES, size - offset))
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up what is on its way; whoever opened it must."""
        await self._give_up(self._pieces)

    async def _give_up(self, pieces: list[_Piece]) -> None:
        self._pieces = [piece for piece in self._pieces if piece not in pieces]
        for piece in pieces:
            piece.content.cancel()
        try:
            await asyncio.gather(*(piece.content for piece in pieces), return_exceptions=True)
        finally:
            self._budget.give_back(len(pieces))

    async def _read_on(self, offset: int, length: int) -> memoryview:
        self._fetch_ahead(offset)
        first = self._pieces[0] if self._pieces else None
        if first is None or not first.covers(offset, length):
            return await self._fetch(offset, length)
        content = await first.content
        return content[offset - first.start : offset - first.start + length]

    def _fetch_ahead(self, offset: int) -> None:
        end = self._pieces[-1].end if self._pieces else offset
        while len(self._pieces) < _AHEAD and end < self.size and self._budget.take():
            length = min(PIECE_BYTES, self.size - end)
            self._pieces.append(_Piece(end, length, asyncio.create_task(self._fetch(end, length))))
            end += length

    async def _fetch(self, offset: int, length: int) -> memoryview:
        index = self._index
        try:
            return await self._fetch_by(index, offset, length)
        except FileNotFoundError:
            self._index = await self._moved(index)
        return await self._fetch_by(self._index, offset, length)

    async def _fetch_by(self, index: Index, offset: int, length: int) -> memoryview:
        parts = [
            await self._service.get_range(segment.key, start, end - start)
            for segment, start, end in _places(index, offset, length)
        ]
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _places(index: Index, offset: int, length: int) -> list[tuple[Segment, int, int]]:
    """In which segments these bytes are, from where to where in each."""
    places, begin = [], 0
    for segment in index.segments:
        start, end = max(offset - begin, 0), min(offset + length - begin, segment.size)
        if start < end:
            places.append((segment, start, end))
        begin += segment.size
    return places
