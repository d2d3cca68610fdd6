"""A store in a bucket, which any number of processes and machines may share; `layout.py` draws what lies in it.

A blob is made of segments, which lie where the requests that brought them have put them: to publish it is to write its
index, one small object. No byte is sent or copied a second time, however large the blob is.

Nobody can hold anything in object storage (many services have no conditional writes), and a request that was given up
may come through later. So nothing that is published is ever in somebody's way: segments have names of their own, are
never changed, and are not deleted at once where an index has named them, but noted as leftovers. They go when the note
is old enough, and only those that the blob's index does not name at that time (`indexes.py`, `clearing.py`).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from registry.storage.contract import StagedBytesLost, StoredBlob
from registry.storage.objects.ahead import Budget
from registry.storage.objects.clearing import Clearing
from registry.storage.objects.indexes import AT_ONCE, Indexes
from registry.storage.objects.journal import ObjectJournal
from registry.storage.objects.layout import (
    BLOBS,
    Index,
    condemned_prefix,
    digest_of,
    index_key,
    published_key,
    upload_key,
)
from registry.storage.objects.places import Places
from registry.storage.objects.reader import ObjectReader
from registry.storage.objects.service import Service
from registry.storage.objects.staged import ObjectStaged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from registry.oci.digest import Digest
    from registry.storage.contract import StagedUpload, Stray
    from registry.storage.objects.layout import Segment
    from registry.storage.objects.service import Bucket


class ObjectStore:
    """Blobs as objects below a prefix of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.service = Service(bucket)
        self.description = bucket.url
        self.journal = ObjectJournal(self.service)
        self.places = Places()
        self.budget = Budget()
        self._indexes = Indexes(self.service)
        self._clearing = Clearing(self.service, self._indexes)

    async def open(self) -> None:
        """See that the bucket can be used; OSError where it cannot."""
        await self.service.make_ready()

    async def ping(self) -> None:
        """See the contract; asks for one small object, since every probe of every replica asks."""
        await self.service.ping()

    @asynccontextmanager
    async def stage(self, upload: str, state: str = "") -> AsyncIterator[ObjectStaged]:
        """See the contract."""
        staged = ObjectStaged(self, upload, state)
        try:
            yield staged
        finally:
            staged.leave()

    async def discard(self, upload: str) -> None:
        """See the contract. What is published of the upload stays, and only its mark goes."""
        await self._clearing.discard(upload)

    @asynccontextmanager
    async def reader(self, digest: Digest) -> AsyncIterator[ObjectReader]:
        """See the contract."""
        index = await self._indexes.get(digest)
        reader = ObjectReader(self.service, self.budget, index, partial(self._indexes.moved, digest))
        try:
            yield reader
        finally:
            await reader.close()

    async def delete(self, digest: Digest) -> None:
        """See the contract; who reads the blob at this moment still finds its segments."""
        self._indexes.forget(digest)
        found = await self._indexes.find(digest)
        if found is not None:
            await self._indexes.leave(digest, found)
            await self.service.delete([index_key(digest)])

    async def blobs(self) -> AsyncIterator[StoredBlob]:
        """See the contract."""
        digests: list[Digest] = []
        async for entry in self.service.list(BLOBS):
            if (digest := digest_of(entry["path"])) is not None:
                digests.append(digest)
            if len(digests) == AT_ONCE:
                for blob in await self._stored(digests):
                    yield blob
                digests = []
        for blob in await self._stored(digests):
            yield blob

    def uploads(self) -> AsyncIterator[StagedUpload]:
        """See the contract; only the marks are listed, however many blobs there are."""
        return self._clearing.uploads()

    def strays(self, beginning: str = "") -> AsyncIterator[Stray]:
        """See the contract: a list request for every thousand objects, two small reads for every blob."""
        return self._clearing.strays(beginning)

    async def sweep(self, age_seconds: float) -> int:
        """See the contract: what deleted and replaced blobs and broken connections have left over."""
        return await self._clearing.sweep(age_seconds)

    def close(self) -> None:
        """See the contract; connections end with the last reference to them."""

    async def publish(self, upload: str, digest: Digest, segments: tuple[Segment, ...]) -> None:
        """Make the segments the blob `digest`; StagedBytesLost where some do not stay. For `ObjectStaged` alone."""
        index = Index(segments)
        there = await self._clearing.objects_of(upload)
        await self._indexes.require([segment for segment in segments if segment.key not in there])
        if segments:
            await self.service.put(published_key(upload), digest.encode())
        await self._indexes.write(digest, index)
        if not await self._indexes.holds(index):
            await self._indexes.mend(digest)
            raise StagedBytesLost
        self._indexes.keep(digest, index)
        unneeded = {key for key in there - index.keys if not key.startswith(condemned_prefix(upload))}
        await self.service.delete((unneeded - {published_key(upload)}) | {upload_key(upload)})

    async def _stored(self, digests: Sequence[Digest]) -> list[StoredBlob]:
        found = await asyncio.gather(*(self._indexes.find(digest) for digest in digests))
        return [
            StoredBlob(digest, Index.decode(one.content).size)
            for digest, one in zip(digests, found, strict=True)
            if one is not None
        ]
