"""Requests end in the middle of a write: the file is closed then, and never before its thread is done with it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry.storage.filesystem import FilesystemStore
from tests.storage.contract import CONTENT, DIGEST
from tests.storage.descriptors import open_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio


class Gate:
    """A call that waits, in its thread, until it is let through."""

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, *args: object) -> object:
        self.reached.set()
        assert self.open.wait(timeout=30)
        return self._call(*args)


@pytest.fixture
async def store(tmp_path: Path) -> FilesystemStore:
    """Give an open store."""
    store = FilesystemStore(tmp_path)
    await store.open()
    return store


@pytest.fixture(params=["pwrite", "fsync", "pread", "ftruncate"])
def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Hold up one kind of call to the operating system."""
    gate = Gate(getattr(os, request.param))
    monkeypatch.setattr(os, request.param, gate)
    yield gate
    gate.open.set()


async def use(store: FilesystemStore) -> None:
    """Come by every one of the calls."""
    async with store.stage("upload") as staged:
        await staged.write(CONTENT + b"too much")
        await staged.cut(len(CONTENT))
        async for _ in staged.read():
            pass
        await staged.publish(DIGEST)


async def test_cancelled_while_a_thread_works(store: FilesystemStore, gate: Gate, tmp_path: Path) -> None:
    """The file stays open, and held, as long as the thread uses it; then it is closed."""
    task = asyncio.create_task(use(store))
    await asyncio.to_thread(gate.reached.wait, 30)
    for _ in range(3):  # more than once, as a server that stops does
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
    assert not task.done()
    assert open_below(tmp_path) == [str(store.staged_path("upload"))]
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_below(tmp_path) == []


async def test_cancelled_write_is_whole(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was underway is done when the hold ends: nothing is written behind the next holder's back."""
    gate = Gate(os.pwrite)
    monkeypatch.setattr(os, "pwrite", gate)
    task = asyncio.create_task(use(store))
    await asyncio.to_thread(gate.reached.wait, 30)
    task.cancel()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.stage("upload") as staged:
        assert staged.size == len(CONTENT + b"too much")


async def test_cancelled_while_the_file_is_opened(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is opened for somebody who has gone meanwhile is closed again, staged and published alike."""
    store.path(DIGEST).write_bytes(CONTENT)
    for opening in (store.stage("upload"), store.reader(DIGEST)):
        with monkeypatch.context() as patch:
            gate = Gate(os.open)
            patch.setattr(os, "open", gate)
            task = asyncio.create_task(opening.__aenter__())
            await asyncio.to_thread(gate.reached.wait, 30)
            task.cancel()
            await asyncio.wait([task], timeout=0.01)
            gate.open.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert open_below(tmp_path) == []
