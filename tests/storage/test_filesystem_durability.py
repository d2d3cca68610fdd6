"""What reaches the disk, and in which order, as the operating system is asked for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.storage.filesystem import FilesystemStore
from tests.storage.contract import CONTENT, DIGEST

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> FilesystemStore:
    """Give an open store."""
    store = FilesystemStore(tmp_path)
    await store.open()
    return store


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Record what is written, synced and renamed below the folder, in this order; all of it happens all the same."""
    calls: list[str] = []
    write, fsync, rename, unlink = os.pwrite, os.fsync, os.rename, os.unlink

    def name(path: object) -> str:
        return str(Path(str(path)).relative_to(tmp_path))

    def of(file: int) -> str:
        return name(os.readlink(f"/proc/self/fd/{file}"))

    def record_write(file: int, data: bytes, offset: int) -> int:
        calls.append(f"write {of(file)}")
        return write(file, data, offset)

    def record_fsync(file: int) -> None:
        calls.append(f"fsync {of(file)}")
        fsync(file)

    def record_rename(source: Path, target: Path) -> None:
        calls.append(f"rename {name(source)} {name(target)}")
        rename(source, target)

    def record_unlink(path: Path) -> None:
        calls.append(f"unlink {name(path)}")
        unlink(path)

    monkeypatch.setattr(os, "pwrite", record_write)
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    monkeypatch.setattr(os, "unlink", record_unlink)
    return calls


async def test_publish(store: FilesystemStore, calls: list[str]) -> None:
    """The bytes are on disk before they get their name, and the name is before `publish` returns."""
    folder = f"blobs/sha256/{DIGEST.encoded[:2]}"
    async with store.stage("upload") as staged:
        await staged.write(CONTENT)
        await staged.publish(DIGEST)
        assert calls == [
            "write uploads/upload",
            "fsync uploads/upload",
            f"rename uploads/upload {folder}/{DIGEST.encoded}",
            f"fsync {folder}",
        ]


async def test_publish_bytes_of_another_holder(store: FilesystemStore, calls: list[str]) -> None:
    """Bytes that an earlier holder wrote are synced as well: nobody did so before."""
    async with store.stage("upload") as staged:
        await staged.write(CONTENT)
    calls.clear()
    async with store.stage("upload") as staged:
        await staged.publish(DIGEST)
    assert calls[0] == "fsync uploads/upload"


async def test_delete(store: FilesystemStore, calls: list[str]) -> None:
    """A deleted blob does not come back after a power cut."""
    store.path(DIGEST).write_bytes(CONTENT)
    folder = f"blobs/sha256/{DIGEST.encoded[:2]}"
    await store.delete(DIGEST)
    assert calls == [f"unlink {folder}/{DIGEST.encoded}", f"fsync {folder}"]


async def test_folders(tmp_path: Path, calls: list[str]) -> None:
    """The folders that blobs are published into are on disk before the store is ready."""
    await FilesystemStore(tmp_path / "new").open()
    assert {"fsync new", "fsync new/blobs", "fsync new/blobs/sha256", "fsync new/blobs/sha512"} <= set(calls)
    assert "fsync ." in calls


async def test_failed_sync_is_no_publication(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails to keep the bytes, `publish` fails, and they get no name."""

    def fail(file: int) -> None:
        raise OSError(5, f"Input/output error (descriptor {file})")

    async with store.stage("upload") as staged:
        await staged.write(CONTENT)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="Input/output"):
                await staged.publish(DIGEST)
    assert not store.path(DIGEST).exists()
