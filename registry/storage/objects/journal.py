"""The journal and the snapshots in a bucket: each portion of lines an object of its own, which is never changed.

Their names are in the order of the greatest number in each, so that those behind a number are found without the others.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from registry.storage.contract import CHUNK_BYTES
from registry.storage.journal import Snapshot, damaged_in, decode_all, new_name, number_of
from registry.storage.objects.layout import JOURNAL, SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from registry.storage.journal import Damaged, Line
    from registry.storage.objects.service import Service

_AT_ONCE: Final = 16
"""Objects that are read at the same time; each has up to 8 MiB, and nearly all of them a few KiB."""
_FORGET_AT_ONCE: Final = 1000


class ObjectJournal:
    """Lines and snapshots as objects."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def append(self, lines: Sequence[Line]) -> None:
        """See the contract."""
        name = new_name(max(line.id for line in lines))
        await self._service.put(f"{JOURNAL}/{name}", b"".join(line.encode() for line in lines))

    async def lines(self, behind: int, damaged: Damaged = lambda *_: None) -> AsyncIterator[Line]:
        """See the contract; an object is there wholly, so that nothing in it was ever cut off."""
        async for keys in self._portions(behind):
            contents = await asyncio.gather(*(self._content(key) for key in keys))
            for key, content in zip(keys, contents, strict=True):
                if count := damaged_in(content + b"\n"):
                    damaged(key, count)
                for line in decode_all(content, behind):
                    yield line

    async def reached(self, behind: int) -> int:
        """See the contract."""
        return max([behind, *[number async for _, number in self._parts(behind)]])

    async def forget(self, until: int) -> None:
        """See the contract."""
        keys: list[str] = []
        async for key, number in self._parts(0):
            if number <= until:
                keys.append(key)
            if len(keys) == _FORGET_AT_ONCE:
                await self._service.delete(keys)
                keys = []
        older = [snapshot async for snapshot in self.snapshots() if snapshot.until < until]
        await self._service.delete([*keys, *(f"{SNAPSHOTS}/{snapshot.name}" for snapshot in older)])

    async def save(self, until: int, pieces: AsyncIterator[bytes]) -> None:
        """See the contract: there is no object before all of it was sent."""
        key, size = f"{SNAPSHOTS}/{new_name(until)}", 0
        file = self._service.writer(key)
        async for piece in pieces:
            await self._service.write(file, piece)
            size += len(piece)
        await self._service.complete(file, key, size)

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """See the contract."""
        async for entry in self._service.list(SNAPSHOTS):
            name = entry["path"].rpartition("/")[2]
            if (until := number_of(name)) is not None:
                yield Snapshot(name, until, entry["last_modified"].timestamp())

    async def read(self, snapshot: Snapshot) -> AsyncIterator[bytes]:
        """See the contract."""
        key = f"{SNAPSHOTS}/{snapshot.name}"
        size = await self._service.size(key)
        for offset in range(0, size, CHUNK_BYTES):
            yield bytes(await self._service.get_range(key, offset, min(CHUNK_BYTES, size - offset)))

    async def _parts(self, behind: int) -> AsyncIterator[tuple[str, int]]:
        """Keys of objects with lines behind that number, and the greatest number in each."""
        async for entry in self._service.list(JOURNAL, f"{JOURNAL}/{behind + 1:020}"):
            if (number := number_of(entry["path"].rpartition("/")[2])) is not None:
                yield entry["path"], number

    async def _portions(self, behind: int) -> AsyncIterator[list[str]]:
        """As many keys as are read at once."""
        keys: list[str] = []
        async for key, _ in self._parts(behind):
            keys.append(key)
            if len(keys) == _AT_ONCE:
                yield keys
                keys = []
        if keys:
            yield keys

    async def _content(self, key: str) -> bytes:
        try:
            return (await self._service.get(key)).content
        except FileNotFoundError:  # just forgotten
            return b""
