"""A store in a bucket, which any number of processes and machines may share; `layout.py` draws what lies in it.

A blob is made of segments, which lie where the requests that brought them have put them: to publish it is to write its
index, one small object. No byte is sent or copied a second time, however large the blob is.

Nobody can hold anything in object storage (many services have no conditional writes), and a request that was given up
may come through later. So nothing that is published is ever in somebody's way: segments have names of their own, are
never changed, and are not deleted at once where an index has named them, but noted as leftovers. They go when the note
is old enough, and only those that the blob's index does not name at that time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from registry.oci.digest import Digest
from registry.storage.contract import BlobMissing, StagedBytesLost, StagedUpload, StoredBlob
from registry.storage.objects.journal import ObjectJournal
from registry.storage.objects.layout import (
    BLOBS,
    LEFTOVERS,
    UPLOADS,
    Index,
    Leftover,
    Segment,
    digest_of,
    index_key,
    leftover_key,
    published_key,
    published_keys,
    segments_prefix,
    upload_key,
)
from registry.storage.objects.multipart import abort_abandoned
from registry.storage.objects.reader import ObjectReader
from registry.storage.objects.service import Changed, Found, Service
from registry.storage.objects.staged import ObjectStaged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from registry.storage.objects.service import Bucket

_INDEXES_KEPT_MAX: Final = 10_000
_INDEX_SECONDS_MAX: Final = 600
"""How long an index is relied on; what it names may be swept an hour after it was replaced."""
_AT_ONCE: Final = 32
"""Small requests that run at the same time where there are many."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An index that was read, and found to name what is there, at this moment."""

    index: Index
    read_at: float


class ObjectStore:
    """Blobs as objects below a prefix of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.service = Service(bucket)
        self.description = bucket.url
        self.journal = ObjectJournal(self.service)
        self._indexes: OrderedDict[Digest, _Kept] = OrderedDict()

    async def open(self) -> None:
        """See that the bucket can be used; OSError where it cannot."""
        await self.service.make_ready()

    async def ping(self) -> None:
        """See the contract; asks for one small object, since every probe of every replica asks."""
        await self.service.ping()

    @asynccontextmanager
    async def stage(self, upload: str, state: str = "") -> AsyncIterator[ObjectStaged]:
        """See the contract."""
        yield ObjectStaged(self, upload, state)

    async def discard(self, upload: str) -> None:
        """See the contract. What is published of the upload stays, and only its mark goes."""
        keys = await self._segments_of(upload)
        if keys:
            keys -= await self._published_of(upload)
        await self.service.delete(keys)
        await self.service.delete([upload_key(upload)])

    @asynccontextmanager
    async def reader(self, digest: Digest) -> AsyncIterator[ObjectReader]:
        """See the contract."""
        reader = ObjectReader(self.service, await self._index(digest), partial(self._moved, digest))
        try:
            yield reader
        finally:
            await reader.close()

    async def delete(self, digest: Digest) -> None:
        """See the contract; who reads the blob at this moment still finds its segments."""
        self._indexes.pop(digest, None)
        found = await self._find(digest)
        if found is not None:
            await self._leave(digest, Index.decode(found.content))
            await self.service.delete([index_key(digest)])

    async def blobs(self) -> AsyncIterator[StoredBlob]:
        """See the contract."""
        digests: list[Digest] = []
        async for entry in self.service.list(BLOBS):
            if (digest := digest_of(entry["path"])) is not None:
                digests.append(digest)
            if len(digests) == _AT_ONCE:
                for blob in await self._stored(digests):
                    yield blob
                digests = []
        for blob in await self._stored(digests):
            yield blob

    async def uploads(self) -> AsyncIterator[StagedUpload]:
        """See the contract; only the marks are listed, however many blobs there are."""
        async for entry in self.service.list(UPLOADS):
            yield StagedUpload(entry["path"].rpartition("/")[2], entry["last_modified"].timestamp())

    async def sweep(self, age_seconds: float) -> int:
        """See the contract: what deleted and replaced blobs and broken connections have left over."""
        since = time.time() - age_seconds
        busy = {staged.upload async for staged in self.uploads() if staged.modified > since}
        swept = await abort_abandoned(self.service.bucket, age_seconds, busy)
        async for entry in self.service.list(LEFTOVERS):
            if entry["last_modified"].timestamp() <= since:
                await self._take_away(entry["path"])
                swept += 1
        return swept

    def close(self) -> None:
        """See the contract; connections end with the last reference to them."""

    async def publish(self, upload: str, digest: Digest, segments: tuple[Segment, ...]) -> None:
        """Make the segments the blob `digest`; StagedBytesLost where some are not there. For `ObjectStaged` alone."""
        index = Index(segments)
        there = await self._segments_of(upload)
        await self._require([segment for segment in segments if segment.key not in there])
        if segments:
            await self.service.put(published_key(upload), digest.encode())
        await self._write_index(digest, index)
        await self.service.delete((there - index.keys - {published_key(upload)}) | {upload_key(upload)})

    async def _write_index(self, digest: Digest, index: Index) -> None:
        try:
            found = await self._find(digest)
            if found is not None and found.content != index.encode():
                await self._leave(digest, Index.decode(found.content))
            await self.service.replace(index_key(digest), index.encode(), found)
        except Changed:  # another push of the same blob was faster: now its segments are left over
            await self._write_index(digest, index)
        self._keep(digest, index)

    async def _leave(self, digest: Digest, index: Index) -> None:
        """Before the index goes, so that a crash in between leaves a note too many, not too few."""
        leftover = Leftover(digest, index.keys | published_keys(index.keys))
        await self.service.put(leftover_key(), leftover.encode())

    async def _take_away(self, key: str) -> None:
        try:
            leftover = Leftover.decode((await self.service.get(key)).content)
        except FileNotFoundError:  # another replica was faster
            return
        await self.service.delete(leftover.keys - await self._used_by(leftover.digest))
        await self.service.delete([key])

    async def _used_by(self, digest: Digest) -> frozenset[str]:
        found = await self._find(digest)
        if found is None:
            return frozenset()
        keys = Index.decode(found.content).keys
        return keys | published_keys(keys)

    async def _published_of(self, upload: str) -> frozenset[str]:
        """What must stay of an upload's objects: those that the index of the blob names that it was published as."""
        try:
            digest = (await self.service.get(published_key(upload))).content
        except FileNotFoundError:
            return frozenset()
        return await self._used_by(Digest(digest.decode()))

    async def _segments_of(self, upload: str) -> frozenset[str]:
        return frozenset([entry["path"] async for entry in self.service.list(segments_prefix(upload))])

    async def _find(self, digest: Digest) -> Found | None:
        try:
            return await self.service.get(index_key(digest))
        except FileNotFoundError:
            return None

    async def _index(self, digest: Digest) -> Index:
        """The index, kept once it was read and its segments were found; BlobMissing where one of them is not there."""
        kept = self._indexes.get(digest)
        if kept is not None and kept.read_at > time.monotonic() - _INDEX_SECONDS_MAX:
            self._indexes.move_to_end(digest)
            return kept.index
        if (found := await self._find(digest)) is None:
            raise BlobMissing(digest)
        index = Index.decode(found.content)
        try:
            await self._require(index.segments)
        except StagedBytesLost:
            raise BlobMissing(digest) from None
        self._keep(digest, index)
        return index

    def _keep(self, digest: Digest, index: Index) -> None:
        self._indexes[digest] = _Kept(index, time.monotonic())
        self._indexes.move_to_end(digest)
        while len(self._indexes) > _INDEXES_KEPT_MAX:
            self._indexes.popitem(last=False)

    async def _moved(self, digest: Digest, index: Index) -> Index:
        """Where a blob is now whose segments are gone: it may have been pushed again since; else BlobMissing."""
        self._indexes.pop(digest, None)
        found = await self._index(digest)
        if found == index or found.size != index.size:
            raise BlobMissing(digest)
        return found

    async def _require(self, segments: Sequence[Segment]) -> None:
        """StagedBytesLost where one of the segments is not there, or has another size."""
        for start in range(0, len(segments), _AT_ONCE):
            portion = segments[start : start + _AT_ONCE]
            if not all(await asyncio.gather(*(self.service.has(one.key, one.size) for one in portion))):
                raise StagedBytesLost

    async def _stored(self, digests: Sequence[Digest]) -> list[StoredBlob]:
        found = await asyncio.gather(*(self._find(digest) for digest in digests))
        return [
            StoredBlob(digest, Index.decode(one.content).size)
            for digest, one in zip(digests, found, strict=True)
            if one is not None
        ]
