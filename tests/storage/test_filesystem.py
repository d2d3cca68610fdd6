"""The filesystem store keeps the contract, and what else its folder promises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from registry.oci.digest import Digest
from registry.oci.errors import StorageFull
from registry.storage.contract import CHUNK_BYTES
from registry.storage.filesystem import FilesystemStore
from tests.storage.contract import (
    CONTENT,
    DIGEST,
    MORE_THAN_A_CHUNK,
    ExclusiveStoreContract,
    blobs_of,
    publish,
    uploads_of,
)
from tests.storage.descriptors import open_below

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    """Give an empty store."""
    return FilesystemStore(tmp_path / "data")


class TestFilesystemStore(ExclusiveStoreContract):
    """See the contract."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> FilesystemStore:
        """Give an empty store."""
        return FilesystemStore(tmp_path / "data")

    def put_blob(self, store: FilesystemStore, digest: Digest, content: bytes) -> None:
        """See the contract."""
        store.path(digest).write_bytes(content)

    def get_blob(self, store: FilesystemStore, digest: Digest) -> bytes | None:
        """See the contract."""
        return store.path(digest).read_bytes() if store.path(digest).exists() else None

    def put_staged(self, store: FilesystemStore, upload: str, content: bytes) -> str:
        """See the contract."""
        store.staged_path(upload).write_bytes(content)
        return ""


async def test_tree(store: FilesystemStore, tmp_path: Path) -> None:
    """Files lie where the module's text says, which is what people and their backups rely on."""
    await store.open()
    await publish(store, "upload", CONTENT)
    async with store.stage("0198c2f4") as staged:
        await staged.write(b"some")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"data/blobs/sha256/{DIGEST.encoded[:2]}/{DIGEST.encoded}", "data/uploads/0198c2f4"}


@pytest.mark.parametrize("upload", ["", ".", "..", "../blobs", "a/b", "a b", "a\0", "a\n", "é", "x" * 65])
async def test_upload_ids_are_names(store: FilesystemStore, upload: str) -> None:
    """An id that could lead out of the folder is no id."""
    await store.open()
    with pytest.raises(ValueError, match="not an upload id"):
        async with store.stage(upload):
            pytest.fail("staged")
    with pytest.raises(ValueError, match="not an upload id"):
        await store.discard(upload)


async def test_foreign_files_are_left_alone(store: FilesystemStore) -> None:
    """What others put into the folder is neither a blob nor an upload."""
    await store.open()
    store.path(DIGEST).with_name(".DS_Store").write_bytes(b"")
    store.path(DIGEST).with_name("lost+found").mkdir()
    (store.staged_path("x").parent / ".nfs0001").write_bytes(b"")
    assert await blobs_of(store) == set()
    assert await uploads_of(store) == set()


async def test_memory_stays_flat(store: FilesystemStore) -> None:
    """Staged bytes are read back in pieces of at most a chunk."""
    await store.open()
    store.staged_path("upload").write_bytes(MORE_THAN_A_CHUNK)
    async with store.stage("upload") as staged:
        sizes = [len(piece) async for piece in staged.read()]
    assert max(sizes) <= CHUNK_BYTES
    assert sum(sizes) == len(MORE_THAN_A_CHUNK)


async def test_large_blob(store: FilesystemStore) -> None:
    """Places behind 4 GiB are reached."""
    await store.open()
    with store.path(DIGEST).open("wb") as file:
        file.truncate(5 * 1024**3)  # a hole, which takes no room
        file.seek(5 * 1024**3 - 3)
        file.write(b"end")
    async with store.reader(DIGEST) as reader:
        assert reader.size == 5 * 1024**3
        assert await reader.read(5 * 1024**3 - 4, 100) == b"\0end"


async def test_full_disk(store: FilesystemStore) -> None:
    """Where the disk is full, the client is told so, and nothing counts as written."""
    await store.open()
    store.staged_path("upload").symlink_to("/dev/full")
    async with store.stage("upload") as staged:
        with pytest.raises(StorageFull):
            await staged.write(CONTENT)
        assert staged.size == 0


async def test_full_disk_when_publishing(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk turns out to be full only when it is asked to keep the bytes, nothing becomes visible."""
    await store.open()
    async with store.stage("upload") as staged:
        await staged.write(CONTENT)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full_disk)
            with pytest.raises(StorageFull):
                await staged.publish(DIGEST)
    assert await blobs_of(store) == set()


async def test_short_write(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel takes a part of a piece, the rest follows."""
    await store.open()
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:3], offset))
    await publish(store, "upload", CONTENT)
    assert store.path(DIGEST).read_bytes() == CONTENT


async def test_failed_write_tells_what_is_there(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a piece fails half-way, `size` counts what was written, and cutting takes it away."""
    await store.open()
    pwrite = os.pwrite

    def write_three_bytes(file: int, data: memoryview, offset: int) -> int:
        return pwrite(file, data[:3], offset) if offset == 0 else full_disk(file)

    monkeypatch.setattr(os, "pwrite", write_three_bytes)
    async with store.stage("upload") as staged:
        with pytest.raises(StorageFull):
            await staged.write(CONTENT)
        assert staged.size == store.staged_path("upload").stat().st_size == 3
        await staged.cut(0)
    assert store.staged_path("upload").read_bytes() == b""


async def test_folder_cannot_be_made(tmp_path: Path) -> None:
    """A folder that cannot be made is an error at the start, not at the first push."""
    (tmp_path / "data").write_bytes(b"a file")
    with pytest.raises(OSError, match="data"):
        await FilesystemStore(tmp_path / "data").open()


async def test_ping_tells_of_a_lost_folder(store: FilesystemStore) -> None:
    """A store whose folder went away does not answer."""
    await store.open()
    store.staged_path("x").parent.rmdir()
    with pytest.raises(FileNotFoundError):
        await store.ping()


async def test_everything_is_closed(store: FilesystemStore, tmp_path: Path) -> None:
    """No deed leaves a descriptor open."""
    await store.open()
    await publish(store, "upload", CONTENT)
    async with store.reader(DIGEST) as reader:
        await reader.read(0, 1)
    async with store.stage("upload"):
        pass
    await store.discard("upload")
    await store.delete(DIGEST)
    await store.ping()
    assert open_below(tmp_path) == []


def full_disk(file: int) -> int:
    """What the kernel answers on a full disk."""
    raise OSError(28, f"No space left on device (descriptor {file})")
