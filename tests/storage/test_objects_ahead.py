"""Readers of a bucket share the memory that there is for what they fetch ahead."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import obstore
import pytest

from registry.oci.digest import Digest
from registry.storage.contract import CHUNK_BYTES, BlobMissing
from tests.storage.contract import publish
from tests.storage.test_objects import opened, segments, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.storage.contract import BlobReader
    from registry.storage.objects.service import Service
    from registry.storage.objects.store import ObjectStore

__all__ = ["opened", "store"]

pytestmark = pytest.mark.anyio

MIB: Final = 1024 * 1024
CHUNKS: Final = 12
CONTENT: Final = os.urandom(CHUNKS * CHUNK_BYTES)
DIGEST: Final = Digest.of(CONTENT)
AHEAD_MAX: Final = 128 * MIB
"""As docs/operating.md tells."""


class Held:
    """How many bytes were asked of the bucket, and have not been read yet."""

    def __init__(self, service: Service, patch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        self._get_range = service.get_range
        patch.setattr(service, "get_range", self._counted)

    async def _counted(self, key: str, offset: int, length: int) -> Any:
        self.now += length
        self.most = max(self.most, self.now)
        return await self._get_range(key, offset, length)

    async def read(self, reader: BlobReader, number: int) -> None:
        """Read a chunk, which is the right one."""
        content = await reader.read(number * CHUNK_BYTES, CHUNK_BYTES)
        assert content == CONTENT[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
        self.now -= len(content)


@pytest.fixture
async def blob(opened: ObjectStore) -> ObjectStore:
    """Give a store with a blob of twelve chunks."""
    await publish(opened, "upload", CONTENT)
    return opened


async def readers(stack: AsyncExitStack, store: ObjectStore, count: int) -> list[BlobReader]:
    """So many readers of the blob, which are open until the stack is left."""
    return [await stack.enter_async_context(store.reader(DIGEST)) for _ in range(count)]


async def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so, without missing the turn of the loop in which it becomes so."""
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


async def test_bound(blob: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clients pull, and however slowly: they hold 128 MiB, and each what it has just asked for."""
    held = Held(blob.service, monkeypatch)
    async with AsyncExitStack() as stack:
        slow = await readers(stack, blob, 48)
        for number in range(CHUNKS):
            await asyncio.gather(*(held.read(reader, number) for reader in slow))
        assert AHEAD_MAX / 2 < held.most <= AHEAD_MAX + len(slow) * CHUNK_BYTES
    assert (held.now, blob.budget.taken) == (0, 0)


async def test_few(blob: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of sixteen readers at once has a piece to read from, and the next one."""
    held = Held(blob.service, monkeypatch)
    async with AsyncExitStack() as stack:
        for count, reader in enumerate(await readers(stack, blob, 16), 1):
            for number in range(2):
                await held.read(reader, number)
            assert held.now == count * 7 * MIB


async def test_nobody_waits(blob: ObjectStore) -> None:
    """While slow clients have all that there is, another pulls the whole blob; it has its share when they go."""
    async with blob.reader(DIGEST) as reader:
        async with AsyncExitStack() as stack:
            for slow in await readers(stack, blob, 16):
                await slow.read(0, CHUNK_BYTES)
                await slow.read(CHUNK_BYTES, CHUNK_BYTES)
            taken = blob.budget.taken
            async with asyncio.timeout(30):
                for offset in range(0, len(CONTENT), CHUNK_BYTES):
                    content = await reader.read(offset, CHUNK_BYTES)
                    assert content == CONTENT[offset : offset + CHUNK_BYTES]
            assert blob.budget.taken == taken == 32
        await reader.read(0, CHUNK_BYTES)
        await reader.read(CHUNK_BYTES, CHUNK_BYTES)
        assert blob.budget.taken == 2


async def test_read_to_its_end(blob: ObjectStore) -> None:
    """A piece is given back with the last of it that is read, not when the client asks for more."""
    async with blob.reader(DIGEST) as reader:
        for number, taken in enumerate((0, 2, 2, 2, 1, 2, 2, 2, 1, 1, 1, 0)):
            await reader.read(number * CHUNK_BYTES, CHUNK_BYTES)
            assert blob.budget.taken == taken


async def test_read_elsewhere(blob: ObjectStore) -> None:
    """Who reads on at another place gives back what was fetched for the first one."""
    async with blob.reader(DIGEST) as reader:
        await reader.read(0, CHUNK_BYTES)
        await reader.read(CHUNK_BYTES, CHUNK_BYTES)
        await reader.read(0, 1)
        assert blob.budget.taken == 0


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled(blob: ObjectStore, turns: int) -> None:
    """A pull that is cancelled while a piece is on its way gives all back, whenever it is cancelled again."""

    async def pull() -> None:
        async with blob.reader(DIGEST) as reader:
            await reader.read(0, CHUNK_BYTES)
            await reader.read(CHUNK_BYTES, CHUNK_BYTES)

    pulling = asyncio.create_task(pull())
    await until(lambda: blob.budget.taken > 0)
    assert pulling.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert blob.budget.taken == 0


async def test_failed(blob: ObjectStore) -> None:
    """A pull whose bytes are gone gives all back."""
    with pytest.raises(BlobMissing):
        async with blob.reader(DIGEST) as reader:
            await reader.read(0, CHUNK_BYTES)
            obstore.delete(blob.service._store, segments(blob))
            await reader.read(CHUNK_BYTES, CHUNK_BYTES)
    assert blob.budget.taken == 0
