"""Pouring a body into staged bytes: nothing is lost, doubled or out of order, however it arrives and ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.oci.digest import Digest
from registry.oci.errors import StorageFull
from registry.operations import pouring
from registry.operations.hashing import RunningHash
from registry.operations.pouring import pour
from registry.storage.contract import CHUNK_BYTES
from registry.storage.memory import MemoryStore
from tests.support.registries import stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

CHUNK: Final = bytes(CHUNK_BYTES)


class ClientGone(Exception):
    """What a body raises whose client has gone."""


class Poured:
    """Staged bytes in memory, with what was told on the way."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.running = RunningHash("sha256")
        self.checkpoints: list[int] = []
        self.largest = 0
        self.writing = 0
        self.full_at = 2**63

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self.content)

    async def write(self, chunk: bytes) -> None:
        """Append, one at a time."""
        self.writing += 1
        assert self.writing == 1
        await asyncio.sleep(0)
        self.writing -= 1
        self.largest = max(self.largest, len(chunk))
        if len(self.content) + len(chunk) > self.full_at:
            raise StorageFull
        self.content += chunk

    async def checkpoint(self, size: int) -> None:
        """Remember."""
        self.checkpoints.append(size)

    async def take(self, body: AsyncIterator[bytes]) -> None:
        """Pour the body in."""
        await pour(body, self, self.running, self.checkpoint)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=40)), st.integers(1, 30), st.booleans())
def test_any_body(pieces: list[bytes], chunk_bytes: int, breaks_off: bool) -> None:  # noqa: FBT001
    """All that came is there and hashed, whether the body ended or broke off."""

    async def run() -> Poured:
        poured = Poured()
        try:
            await poured.take(stream(*pieces, error=ClientGone() if breaks_off else None))
        except ClientGone:
            assert breaks_off
        else:
            assert not breaks_off
        return poured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pouring, "CHUNK_BYTES", chunk_bytes)
        poured = asyncio.run(run())
    content = b"".join(pieces)
    assert bytes(poured.content) == content
    assert (poured.running.size, poured.running.digest()) == (len(content), Digest.of(content))
    assert poured.checkpoints == sorted(poured.checkpoints)


async def test_checkpoints() -> None:
    """What is told on the way has been written by then."""
    poured = Poured()
    await poured.take(stream(CHUNK, CHUNK, CHUNK, b"rest"))
    assert poured.checkpoints == [CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]


async def test_writes_while_more_arrives() -> None:
    """A chunk is being written while the next one arrives: neither waits for the other."""
    poured = Poured()
    written: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        yield CHUNK
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if poured.size:
                break
        written.append(poured.size)
        yield CHUNK

    await poured.take(body())
    assert written == [CHUNK_BYTES]


async def test_failed_write() -> None:
    """Where writing fails, that is the error, no more is taken, and no other work is left behind."""
    before = asyncio.all_tasks()
    poured = Poured()
    poured.full_at = CHUNK_BYTES
    with pytest.raises(StorageFull):
        await poured.take(stream(*[CHUNK] * 10))
    assert poured.size == CHUNK_BYTES
    assert asyncio.all_tasks() == before


async def test_failed_write_and_broken_body() -> None:
    """Where the disk is full and the client gone at the same time, nothing is left behind either."""
    before = asyncio.all_tasks()
    poured = Poured()
    poured.full_at = 0
    with pytest.raises((StorageFull, ClientGone)):
        await poured.take(stream(CHUNK, error=ClientGone()))
    assert asyncio.all_tasks() == before


async def test_cancelled() -> None:
    """A request that is cancelled leaves no work behind that still writes."""
    before = asyncio.all_tasks()
    store = MemoryStore()
    waiting = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield CHUNK
        waiting.set()
        await asyncio.Event().wait()

    async def request() -> None:
        async with store.stage("upload") as staged:
            await pour(body(), staged, RunningHash("sha256"), Poured().checkpoint)

    task = asyncio.create_task(request())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    async with store.stage("upload") as staged:
        assert staged.size in {0, CHUNK_BYTES}


@pytest.mark.parametrize(
    ("bodies", "piece_bytes_max"), [(1, CHUNK_BYTES), (64, CHUNK_BYTES // 8), (1000, CHUNK_BYTES // 16)]
)
async def test_many_bodies_at_once(bodies: int, piece_bytes_max: int) -> None:
    """One body is poured in large pieces, many at the same time in smaller ones, so that they take no more memory."""
    parts = [bytes(16 * 1024)] * 80
    everybody = asyncio.Barrier(bodies)

    async def body() -> AsyncIterator[bytes]:
        await everybody.wait()  # all have begun, and none ends before the others
        for part in parts:
            yield part
        await everybody.wait()

    poured = [Poured() for _ in range(bodies)]
    await asyncio.gather(*(one.take(body()) for one in poured))
    assert {one.size for one in poured} == {80 * 16 * 1024}
    assert max(one.largest for one in poured) <= piece_bytes_max
    again = Poured()
    await again.take(stream(*parts))
    assert again.largest == CHUNK_BYTES  # those that have ended are not counted any more
