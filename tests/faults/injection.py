"""A store and a database that fail at one chosen step: before a call, in the middle of it, or when its answer is lost.

The real ones are underneath. A step is passed by number, so that a loop can strike at step 0, 1, 2, ... until a deed
runs through (the way pebble tests its storage engine).
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from registry.db.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from sqlalchemy import Connection

    from registry.oci.digest import Digest
    from registry.operations.registry import Registry
    from registry.storage.contract import BlobReader, BlobStore, Staged, StagedUpload, StoredBlob, Stray
    from registry.storage.journal import Journal, Line

T = TypeVar("T")

_CANCEL_SECONDS_MAX = 10


class Injected(OSError):
    """The failure that was asked for."""


class Faults:
    """Strikes at one step; `struck` names it, None while it has not been reached."""

    def __init__(self) -> None:
        self.request: asyncio.Task[None] | None = None
        self.struck: str | None = None
        self._strike: Callable[[str], None] = self.fail
        self._steps_left: int | None = None

    def arm(self, number: int, strike: Callable[[str], None]) -> None:
        """Strike at the step with this number, counted from 0."""
        self._steps_left, self._strike, self.struck = number, strike, None

    def disarm(self) -> None:
        """Strike no more."""
        self._steps_left = None

    def step(self, name: str) -> None:
        """Pass a step, or be struck at it."""
        if self._steps_left is None:
            return
        self._steps_left -= 1
        if self._steps_left < 0:
            self._steps_left, self.struck = None, name
            self._strike(name)

    def fail(self, name: str) -> None:
        """The step fails."""
        raise Injected(name)

    def cancel(self, name: str) -> None:
        """The request is cancelled at the step, which goes on where it is in another thread."""
        assert self.request is not None, name
        if threading.current_thread() is threading.main_thread():
            self.request.cancel()
            return
        request, done = self.request, threading.Event()

        def cancel() -> None:
            request.cancel()
            done.set()

        request.get_loop().call_soon_threadsafe(cancel)
        assert done.wait(_CANCEL_SECONDS_MAX), "the loop is blocked"


class Steps(Faults):
    """Strikes nowhere, and writes down the steps that are passed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def step(self, name: str) -> None:
        """Pass a step."""
        self.names.append(name)

    def of(self, registry: Registry) -> Registry:
        """The same registry, whose steps are written down."""
        return replace(
            registry,
            database=FaultyDatabase(registry.database, self),
            store=FaultyStore(registry.store, self),
        )

    def between(self, first: str, last: str) -> list[str]:
        """The steps between these two."""
        start = self.names.index(first) + 1
        return self.names[start : self.names.index(last, start)]


class FaultyDatabase(Database):
    """Fails before the query, between query and commit, and after the commit."""

    def __init__(self, inner: Database, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self.engine = inner.engine

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """See Database."""
        return self._inner.alone(task)

    def close(self) -> None:
        """See Database."""
        self._inner.close()

    def _snapshot(self) -> AbstractContextManager[Connection]:
        return self._inner._snapshot()

    async def _look(self, job: Callable[[Connection], T]) -> T:
        return await self._run("look", self._inner.look, job)

    async def _read(self, job: Callable[[Connection], T]) -> T:
        return await self._run("read", self._inner.read, job)

    async def _write(self, job: Callable[[Connection], T], *, durable: bool) -> T:
        return await self._run("write", self._inner.write if durable else self._inner.write_soon, job)

    async def _run(self, name: str, run: Callable[..., Awaitable[T]], job: Callable[[Connection], T]) -> T:
        def done_but_not_committed(connection: Connection) -> T:
            result = job(connection)
            self._faults.step(f"before a {name} is committed")
            return result

        self._faults.step(f"before a {name}")
        result = await run(done_but_not_committed)
        self._faults.step(f"after a {name}")
        return result


class FaultyStore:
    """Fails before and after every call, and between the halves of a write."""

    def __init__(self, inner: BlobStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self.description = inner.description
        self.journal = FaultyJournal(inner.journal, faults)

    def close(self) -> None:
        """See the contract."""
        self._inner.close()

    async def open(self) -> None:
        """See the contract."""
        await self._inner.open()

    async def ping(self) -> None:
        """See the contract."""
        await self._inner.ping()

    @asynccontextmanager
    async def stage(self, upload: str, state: str = "") -> AsyncIterator[FaultyStaged]:
        """See the contract."""
        self._faults.step("before stage")
        async with self._inner.stage(upload, state) as staged:
            self._faults.step("after stage")
            yield FaultyStaged(staged, self._faults)

    async def discard(self, upload: str) -> None:
        """See the contract."""
        self._faults.step("before discard")
        await self._inner.discard(upload)
        self._faults.step("after discard")

    @asynccontextmanager
    async def reader(self, digest: Digest) -> AsyncIterator[FaultyReader]:
        """See the contract."""
        self._faults.step("before reader")
        async with self._inner.reader(digest) as reader:
            self._faults.step("after reader")
            yield FaultyReader(reader, self._faults)

    async def delete(self, digest: Digest) -> None:
        """See the contract."""
        self._faults.step("before delete")
        await self._inner.delete(digest)
        self._faults.step("after delete")

    async def blobs(self) -> AsyncIterator[StoredBlob]:
        """See the contract."""
        async for blob in self._inner.blobs():
            yield blob

    async def uploads(self) -> AsyncIterator[StagedUpload]:
        """See the contract."""
        async for upload in self._inner.uploads():
            yield upload

    async def strays(self, beginning: str = "") -> AsyncIterator[Stray]:
        """See the contract."""
        async for stray in self._inner.strays(beginning):
            yield stray

    async def sweep(self, age_seconds: float) -> int:
        """See the contract."""
        self._faults.step("before sweep")
        return await self._inner.sweep(age_seconds)


class FaultyJournal:
    """Fails before lines are appended, and after that; nothing else is done to a journal while clients wait."""

    def __init__(self, inner: Journal, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self.lines, self.reached, self.forget = inner.lines, inner.reached, inner.forget
        self.save, self.snapshots, self.read = inner.save, inner.snapshots, inner.read

    async def append(self, lines: Sequence[Line]) -> None:
        """See the contract."""
        self._faults.step("before append")
        await self._inner.append(lines)
        self._faults.step("after append")


class FaultyStaged:
    """See FaultyStore."""

    def __init__(self, inner: Staged, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def size(self) -> int:
        """See the contract."""
        return self._inner.size

    @property
    def flushed(self) -> int:
        """See the contract."""
        return self._inner.flushed

    @property
    def state(self) -> str:
        """See the contract."""
        return self._inner.state

    async def flush(self) -> None:
        """See the contract."""
        self._faults.step("before flush")
        await self._inner.flush()
        self._faults.step("after flush")

    async def cut(self, size: int) -> None:
        """See the contract."""
        self._faults.step("before cut")
        await self._inner.cut(size)
        self._faults.step("after cut")

    async def write(self, chunk: bytes) -> None:
        """See the contract."""
        half = len(chunk) // 2
        self._faults.step("before write")
        await self._inner.write(chunk[:half])
        self._faults.step("in the middle of write")
        await self._inner.write(chunk[half:])
        self._faults.step("after write")

    async def read(self) -> AsyncIterator[bytes]:
        """See the contract."""
        self._faults.step("before read")
        async for chunk in self._inner.read():
            yield chunk
            self._faults.step("in the middle of read")

    async def publish(self, digest: Digest) -> None:
        """See the contract."""
        self._faults.step("before publish")
        await self._inner.publish(digest)
        self._faults.step("after publish")


class FaultyReader:
    """See FaultyStore."""

    file = None

    def __init__(self, inner: BlobReader, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def size(self) -> int:
        """See the contract."""
        return self._inner.size

    async def url(self, seconds: float) -> str | None:
        """See the contract."""
        return await self._inner.url(seconds)

    async def read(self, offset: int, length: int) -> bytes:
        """See the contract."""
        self._faults.step("before read of a blob")
        content = await self._inner.read(offset, length)
        self._faults.step("after read of a blob")
        return content
