"""Takes segments away: those of uploads that were given up, of blobs that are gone, and those that nothing names.

It never takes what the index of the blob names, and says what it is about to do before it looks there: `indexes.py`
tells why. Ages are told by the service's own clock, in what it says of its objects.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from registry.oci.digest import Digest
from registry.storage.contract import StagedUpload, Stray
from registry.storage.objects.indexes import AT_ONCE
from registry.storage.objects.layout import (
    LEFTOVERS,
    SEGMENTS,
    UPLOADS,
    Index,
    condemned_key,
    condemned_prefix,
    digest_of_leftover,
    published_key,
    segments_prefix,
    upload_key,
    upload_of,
)
from registry.storage.objects.multipart import abort_abandoned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from obstore import ObjectMeta

    from registry.storage.objects.indexes import Indexes
    from registry.storage.objects.service import Service


class Clearing:
    """What may go from a bucket."""

    def __init__(self, service: Service, indexes: Indexes) -> None:
        self._service = service
        self._indexes = indexes

    async def discard(self, upload: str) -> None:
        """All of an upload, but for what is published of it."""
        if await self.objects_of(upload):
            await self._clear(upload)
        await self._service.delete([upload_key(upload)])

    async def uploads(self) -> AsyncIterator[StagedUpload]:
        """Unfinished ones, with the time of the last write by this machine's clock; only their marks are listed."""
        ahead = await self._service.clock_ahead_seconds()
        async for entry in self._service.list(UPLOADS):
            yield StagedUpload(entry["path"].rpartition("/")[2], entry["last_modified"].timestamp() + ahead)

    async def sweep(self, age_seconds: float) -> int:
        """What deleted and replaced blobs and broken connections left over so long ago; how many things that were."""
        now = time.time()
        since = now - age_seconds
        busy = {staged.upload async for staged in self.uploads() if staged.modified > since}
        ahead = await self._service.clock_ahead_seconds()
        swept = await abort_abandoned(self._service.bucket, since - ahead, busy)
        async for entry in self._service.list(LEFTOVERS):
            if entry["last_modified"].timestamp() + ahead <= since:
                swept += await self._take_away(entry["path"])
        return swept

    async def strays(self, beginning: str) -> AsyncIterator[Stray]:
        """See the contract; lists the segments, and reads what says to which blob they belong, and its index."""
        ahead = await self._service.clock_ahead_seconds()
        portion: list[list[ObjectMeta]] = []
        async for objects in self._by_upload(beginning):
            portion.append(objects)
            if len(portion) == AT_ONCE:
                for stray in await self._strays_among(portion, ahead):
                    yield stray
                portion = []
        for stray in await self._strays_among(portion, ahead):
            yield stray

    async def objects_of(self, upload: str) -> frozenset[str]:
        """Everything that lies there of an upload, but for its mark."""
        return frozenset([entry["path"] async for entry in self._service.list(segments_prefix(upload))])

    async def _clear(self, upload: str, leftover: tuple[Digest, Index] | None = None) -> None:
        """Take away its segments, or those of an index that a blob had; but for what a blob's index names now."""
        said = condemned_key(upload)
        await self._service.put(said, b"")
        there = await self.objects_of(upload)
        condemned = frozenset(key for key in there if key.startswith(condemned_prefix(upload)))
        used = await self._published_of(upload)
        going = there - condemned - used
        if leftover is not None:
            digest, index = leftover
            going = going & (index.keys | {published_key(upload)}) - await self._indexes.named_by(digest)
        await self._service.delete(going)
        # What was said goes last, and not before all is gone: `indexes.holds` looks in the other order.
        await self._service.delete({said} if there - condemned - going else {said} | condemned)

    async def _take_away(self, key: str) -> bool:
        """The segments of an index that a blob had, with the note of it; whether they may go.

        The note stays while that index is in force: somebody may be about to replace it, and have noted it for that.
        """
        digest = digest_of_leftover(key)
        try:
            index = Index.decode((await self._service.get(key)).content)
        except FileNotFoundError:  # another replica was faster
            return False
        if await self._indexes.mend(digest) == index:
            return False
        for upload in {upload_of(segment) for segment in index.keys}:
            await self._clear(upload, (digest, index))
        await self._service.delete([key])
        return True

    async def _published_of(self, upload: str) -> frozenset[str]:
        """What must stay of an upload's objects: those that the index of the blob names that it was published as."""
        digest = await self._digest_of(upload)
        return frozenset() if digest is None else await self._indexes.named_by(digest)

    async def _digest_of(self, upload: str) -> Digest | None:
        try:
            return Digest((await self._service.get(published_key(upload))).content.decode())
        except FileNotFoundError:
            return None

    async def _by_upload(self, beginning: str) -> AsyncIterator[list[ObjectMeta]]:
        """The objects of one upload after the other, which is the order of their keys."""
        objects: list[ObjectMeta] = []
        async for entry in self._service.list(SEGMENTS, f"{SEGMENTS}/{beginning}"):
            upload = upload_of(entry["path"])
            if objects and upload_of(objects[0]["path"]) != upload:
                yield objects
                objects = []
            if not upload.startswith(beginning):
                break
            objects.append(entry)
        if objects:
            yield objects

    async def _strays_among(self, portion: list[list[ObjectMeta]], ahead: float) -> list[Stray]:
        found = await asyncio.gather(*(self._stray(objects, ahead) for objects in portion))
        return [stray for stray in found if stray is not None]

    async def _stray(self, objects: list[ObjectMeta], ahead: float) -> Stray | None:
        upload, sizes = upload_of(objects[0]["path"]), {entry["path"]: entry["size"] for entry in objects}
        keys = frozenset(sizes)
        if not await self._unnamed(upload, keys) or await self._service.has(upload_key(upload), 0):
            return None
        # Again, since only now is nobody publishing it: who has begun to has the mark until the index is written.
        if not (unnamed := await self._unnamed(upload, keys)):
            return None
        modified = max(entry["last_modified"].timestamp() for entry in objects)
        return Stray(upload, sum(sizes[key] for key in unnamed), modified + ahead)

    async def _unnamed(self, upload: str, keys: frozenset[str]) -> frozenset[str]:
        """What no index names; nothing while an index that the blob had is noted: its readers may be under way."""
        if (digest := await self._digest_of(upload)) is None:
            return keys
        unnamed = keys - await self._indexes.named_by(digest)
        if unnamed and keys & await self._indexes.noted(digest):
            return frozenset()
        return unnamed
