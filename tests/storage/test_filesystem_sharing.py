"""Several stores on one folder, in this process and in another."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import registry
from registry.storage.contract import StagedBusy, StoredBlob
from registry.storage.filesystem import FilesystemStore
from tests.storage.contract import CONTENT, DIGEST, blobs_of, publish, read, staged_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

ROOT = Path(registry.__file__).parent.parent


@pytest.fixture
async def stores(tmp_path: Path) -> tuple[FilesystemStore, FilesystemStore]:
    """Give two stores on one folder."""
    stores = FilesystemStore(tmp_path), FilesystemStore(tmp_path)
    for store in stores:
        await store.open()
    return stores


@contextmanager
def held_by_another_process(folder: Path, upload: str, content: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the staged bytes, killed at the end if not before."""
    command = [sys.executable, "-m", "tests.storage.holder", str(folder), upload, content.decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


async def test_stores_start_together(tmp_path: Path) -> None:
    """Many stores make their folders at the same moment without disturbing each other."""
    await asyncio.gather(*(FilesystemStore(tmp_path / "new" / "data").open() for _ in range(8)))
    await publish(FilesystemStore(tmp_path / "new" / "data"), "upload", CONTENT)


async def test_stores_exclude_each_other(stores: tuple[FilesystemStore, FilesystemStore]) -> None:
    """What one store holds, the other can neither hold nor discard; afterwards it goes on from there."""
    one, two = stores
    async with one.stage("upload") as staged:
        await staged.write(b"one")
        with pytest.raises(StagedBusy):
            async with two.stage("upload"):
                pytest.fail("held twice")
        with pytest.raises(StagedBusy):
            await two.discard("upload")
    async with two.stage("upload") as staged:
        await staged.write(b" two")
        assert await staged_bytes(staged) == b"one two"


async def test_stores_see_the_same_blobs(stores: tuple[FilesystemStore, FilesystemStore]) -> None:
    """What one store publishes, the other reads; what one deletes, the other misses."""
    one, two = stores
    await publish(one, "upload", CONTENT)
    assert await read(two, DIGEST) == CONTENT
    await two.delete(DIGEST)
    assert await blobs_of(one) == set()


async def test_processes_exclude_each_other(tmp_path: Path) -> None:
    """A process cannot take staged bytes from another; a holder that is killed holds nothing, its bytes stay."""
    store = FilesystemStore(tmp_path)
    await store.open()
    with held_by_another_process(tmp_path, "upload", b"one") as process:
        with pytest.raises(StagedBusy):
            async with store.stage("upload"):
                pytest.fail("held twice")
        with pytest.raises(StagedBusy):
            await store.discard("upload")
        process.kill()
        process.wait()
        async with store.stage("upload") as staged:
            assert await staged_bytes(staged) == b"one"


async def test_one_of_many_publishes(stores: tuple[FilesystemStore, FilesystemStore]) -> None:
    """Of many that go for one upload at the same time, each that gets it finds what the last one left."""
    published = await asyncio.gather(
        *(take_and_publish(store) for store in stores * 8), return_exceptions=True
    )
    assert published.count(True) == 1
    assert {type(outcome) for outcome in published} <= {bool, StagedBusy}
    assert await blobs_of(stores[0]) == {StoredBlob(DIGEST, len(CONTENT))}
    assert stores[0].path(DIGEST).read_bytes() == CONTENT


async def take_and_publish(store: FilesystemStore) -> bool:
    """Publish what is staged, where it is there; else stage it, which the others then find."""
    async with store.stage("upload") as staged:
        if store.path(DIGEST).exists():
            return False
        await staged.cut(0)
        await staged.write(CONTENT)
        await staged.publish(DIGEST)
        return True


async def test_file_that_was_published_while_we_waited_is_not_ours(
    stores: tuple[FilesystemStore, FilesystemStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened the staged file just before it was published does not get to write to the blob."""
    one, two = stores
    await staged_then(one, two, monkeypatch, lambda: two.staged_path("upload").rename(two.path(DIGEST)))
    assert two.path(DIGEST).read_bytes() == CONTENT


async def test_file_that_was_discarded_while_we_waited_is_not_ours(
    stores: tuple[FilesystemStore, FilesystemStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened the staged file just before it was discarded does not write into a file without a name."""
    one, two = stores
    await staged_then(one, two, monkeypatch, two.staged_path("upload").unlink)


async def test_file_that_was_replaced_while_we_waited_is_not_ours(
    stores: tuple[FilesystemStore, FilesystemStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened a file that was published, while a new one took its name, does not write to the blob either."""
    one, two = stores

    def replace() -> None:
        two.staged_path("upload").rename(two.path(DIGEST))
        two.staged_path("upload").write_bytes(b"of somebody else")

    await staged_then(one, two, monkeypatch, replace)
    assert two.path(DIGEST).read_bytes() == CONTENT


async def staged_then(
    one: FilesystemStore, two: FilesystemStore, monkeypatch: pytest.MonkeyPatch, act: object
) -> None:
    """Let `act` happen between the opening of the staged file and the taking of its lock."""
    from registry.storage import filesystem

    async with two.stage("upload") as staged:
        await staged.write(CONTENT)
    lock = filesystem.lock

    def act_then_lock(file: int, path: Path) -> None:
        act()  # type: ignore[operator]
        lock(file, path)

    monkeypatch.setattr(filesystem, "lock", act_then_lock)
    with pytest.raises(StagedBusy):
        async with one.stage("upload"):
            pytest.fail("held a file that is no longer staged")
