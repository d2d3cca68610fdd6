"""The indexes of blobs: read, kept, replaced, and brought back where one leads nowhere.

Who writes an index does so some time after it has looked for the segments, and may have been stopped in between for as
long as it likes. Meanwhile somebody else may have given it up, and taken the segments away. So whoever takes away says
so first (`condemned`) and looks at the index then; whoever publishes writes the index first and looks then whether
somebody said so (`holds`). One of them sees the other, whatever the time between their steps.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.storage.contract import BlobMissing, StagedBytesLost
from registry.storage.objects.layout import (
    Index,
    condemned_prefix,
    index_key,
    leftover_key,
    leftovers_prefix,
    published_key,
    upload_of,
)
from registry.storage.objects.service import Changed, Found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from registry.oci.digest import Digest
    from registry.storage.objects.layout import Segment
    from registry.storage.objects.service import Service

AT_ONCE: Final = 32
"""Small requests that run at the same time where there are many."""
_INDEXES_KEPT_MAX: Final = 10_000
_INDEX_SECONDS_MAX: Final = 600
"""How long an index is relied on; what it names may be swept an hour after it was replaced."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An index that was read, and found to name what is there, at this moment."""

    index: Index
    read_at: float


class Indexes:
    """The indexes in a bucket, of which those read last are kept."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: OrderedDict[Digest, _Kept] = OrderedDict()

    async def find(self, digest: Digest) -> Found | None:
        """The object with the index, as it is now."""
        try:
            return await self._service.get(index_key(digest))
        except FileNotFoundError:
            return None

    async def get(self, digest: Digest) -> Index:
        """The index, kept once it was read and its segments were found; BlobMissing where they are not there."""
        kept = self._kept.get(digest)
        if kept is not None and kept.read_at > time.monotonic() - _INDEX_SECONDS_MAX:
            self._kept.move_to_end(digest)
            return kept.index
        if (found := await self.find(digest)) is None:
            raise BlobMissing(digest)
        index = Index.decode(found.content)
        if not await self._is_there(index):
            if (mended := await self.mend(digest)) is None:
                raise BlobMissing(digest)
            index = mended
        self.keep(digest, index)
        return index

    async def moved(self, digest: Digest, index: Index) -> Index:
        """Where a blob is now whose segments are gone: it may have been pushed again since; else BlobMissing."""
        self.forget(digest)
        found = await self.get(digest)
        if found == index or found.size != index.size:
            raise BlobMissing(digest)
        return found

    async def write(self, digest: Digest, index: Index) -> None:
        """Put this one in the place of the one that is there, if any."""
        self.forget(digest)
        try:
            found = await self.find(digest)
            if found is not None and found.content != index.encode():
                await self.leave(digest, found)
            await self._service.replace(index_key(digest), index.encode(), found)
        except Changed:  # another push of the same blob was faster: now its segments are left over
            await self.write(digest, index)

    async def leave(self, digest: Digest, found: Found) -> None:
        """Before the index goes, so that a crash in between leaves a note too many, not too few."""
        await self._service.put(leftover_key(digest, found.content), found.content)

    async def holds(self, index: Index) -> bool:
        """Whether what the index names stays, once it is written: nobody is about to take it away, and all is there."""
        for upload in {upload_of(key) for key in index.keys}:
            async for _ in self._service.list(condemned_prefix(upload)):
                return False
        return await self._is_there(index)

    async def mend(self, digest: Digest) -> Index | None:
        """Where the index leads nowhere, put an earlier one back that does not; the one that is right then, if any."""
        if (found := await self.find(digest)) is None:
            return None
        index = Index.decode(found.content)
        if await self.holds(index):
            return index
        async for earlier in self._earlier(digest):
            if await self.holds(earlier):
                await self.write(digest, earlier)
                if await self.holds(earlier):
                    return earlier
        return index if await self._is_there(index) else None

    async def named_by(self, digest: Digest) -> frozenset[str]:
        """What must stay of the objects of uploads because of this blob."""
        found = await self.find(digest)
        return frozenset() if found is None else _named(Index.decode(found.content))

    async def noted(self, digest: Digest) -> frozenset[str]:
        """What its earlier indexes name, which goes with the notes of them."""
        return frozenset[str]().union(*[_named(earlier) async for earlier in self._earlier(digest)])

    async def require(self, segments: Sequence[Segment]) -> None:
        """StagedBytesLost where one of the segments is not there, or has another size."""
        for start in range(0, len(segments), AT_ONCE):
            portion = segments[start : start + AT_ONCE]
            if not all(await asyncio.gather(*(self._service.has(one.key, one.size) for one in portion))):
                raise StagedBytesLost

    def keep(self, digest: Digest, index: Index) -> None:
        """Rely on this one for a while."""
        self._kept[digest] = _Kept(index, time.monotonic())
        self._kept.move_to_end(digest)
        while len(self._kept) > _INDEXES_KEPT_MAX:
            self._kept.popitem(last=False)

    def forget(self, digest: Digest) -> None:
        """Rely on it no longer."""
        self._kept.pop(digest, None)

    async def _earlier(self, digest: Digest) -> AsyncIterator[Index]:
        async for entry in self._service.list(leftovers_prefix(digest)):
            with suppress(FileNotFoundError):  # swept meanwhile
                yield Index.decode((await self._service.get(entry["path"])).content)

    async def _is_there(self, index: Index) -> bool:
        try:
            await self.require(index.segments)
        except StagedBytesLost:
            return False
        return True


def _named(index: Index) -> frozenset[str]:
    return index.keys | {published_key(upload_of(key)) for key in index.keys}
