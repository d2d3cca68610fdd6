"""A store in a folder, which several processes and (over a network filesystem with locks) machines may share.

    DIRECTORY/
      blobs/sha256/3a/3a7bd3e2...    a published blob: its file name is the hexadecimal part of its digest
      blobs/sha512/...
      uploads/0198c2f4...            the staged bytes of an upload, under the upload's id
      journal/, snapshots/           what `filesystem_journal.py` draws

Publishing is: fsync the staged file, rename it to its place, fsync the folder. A name under `blobs/` therefore exists
only with all of its bytes behind it, whenever power is cut. Staged bytes are held with flock(2), which the kernel
takes from a process that dies. All folders are made at the start, so that publishing never has to make one durable.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import aiofiles.os

from registry.oci.digest import ALGORITHMS, Digest
from registry.oci.errors import DigestInvalid, StorageFull
from registry.storage.contract import (
    CHUNK_BYTES,
    BlobMissing,
    StagedBytesLost,
    StagedUpload,
    StoredBlob,
)
from registry.storage.files import fsync_directory, lock, make_directory, write_out
from registry.storage.filesystem_journal import FilesystemJournal
from registry.threads import Threads, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from registry.storage.contract import Stray

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_THREADS_MAX = 32
"""Most of them wait for the disk, which writes out at once what many wait for."""
_WRITE_OUT_BYTES = 8 * 1024 * 1024
"""So often the disk is given something to do while an upload goes on, instead of all of it at the end."""
_READ_AHEAD_BYTES = 64 * 1024
"""A blob of at most this size is read while it is opened."""
_FANOUT = tuple(f"{number:02x}" for number in range(256))


class FilesystemStore:
    """Blobs as files below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"
        self._threads = Threads(_THREADS_MAX, "store")
        self.description = str(directory)
        self.journal = FilesystemJournal(directory, self.run)

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """What `function` returns, run on one of the store's threads; StorageFull where the disk is."""
        try:
            return await in_thread(self._threads, function, *args)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull from error
            raise

    def close(self) -> None:
        """See the contract."""
        self.journal.close()
        self._threads.close()

    async def open(self) -> None:
        """Make the folders, durably; OSError where that cannot be done."""
        await self.run(self._make_folders)

    async def ping(self) -> None:
        """Raise OSError where a file cannot be made and taken away again, for an upload or for the journal."""
        for folder in (self._uploads, *self.journal.folders):
            await self.run(_try_to_write, folder / f".ping-{os.getpid()}")

    def path(self, digest: Digest) -> Path:
        """Where the blob lies; made from parsed values alone."""
        return self._blobs / digest.algorithm / digest.encoded[:2] / digest.encoded

    def staged_path(self, upload: str) -> Path:
        """Where the staged bytes lie."""
        if _UPLOAD_ID.fullmatch(upload) is None:
            raise ValueError(f"not an upload id: {upload!r}")
        return self._uploads / upload

    @asynccontextmanager
    async def stage(self, upload: str, state: str = "") -> AsyncIterator[FilesystemStaged]:
        """See the contract."""
        del state  # the lock says who counts
        staged = FilesystemStaged(self, upload)
        try:
            await self.run(staged.hold)
            yield staged
        finally:
            staged.let_go()

    async def discard(self, upload: str) -> None:
        """See the contract."""
        await self.run(_discard, self.staged_path(upload))

    @asynccontextmanager
    async def reader(self, digest: Digest) -> AsyncIterator[FilesystemReader]:
        """See the contract."""
        reader = FilesystemReader(self, digest)
        try:
            await self.run(reader.open)
            yield reader
        finally:
            reader.close()

    async def delete(self, digest: Digest) -> None:
        """See the contract."""
        await self.run(self._unlink, digest)

    async def blobs(self) -> AsyncIterator[StoredBlob]:
        """See the contract."""
        for algorithm in ALGORITHMS:
            for folder in _FANOUT:
                for blob in await self.run(self._list, algorithm, folder):
                    yield blob

    async def uploads(self) -> AsyncIterator[StagedUpload]:
        """See the contract."""
        for entry in await self.run(self._list_uploads):
            if _UPLOAD_ID.fullmatch(entry) is None:
                continue
            try:
                status = await aiofiles.os.stat(self._uploads / entry)
            except FileNotFoundError:
                continue
            yield StagedUpload(entry, status.st_mtime)

    async def strays(self, beginning: str = "") -> AsyncIterator[Stray]:
        """See the contract: what is staged has the name of its upload."""
        del beginning
        none: tuple[Stray, ...] = ()
        for stray in none:
            yield stray

    async def sweep(self, age_seconds: float) -> int:
        """See the contract: the file system keeps a file for those who read it, and forgets it with the last."""
        del age_seconds
        return 0

    def _make_folders(self) -> None:
        made = [self._directory, self._uploads, self._blobs, *self.journal.folders]
        made += [self._blobs / algorithm for algorithm in ALGORITHMS]
        made += [self._blobs / algorithm / folder for algorithm in ALGORITHMS for folder in _FANOUT]
        make_directory(self._directory)
        for folder in made:
            folder.mkdir(exist_ok=True)
        # Synced even where all were there: another process may have made them a moment ago.
        for parent in sorted({folder.parent for folder in made}):
            fsync_directory(parent)

    def _list(self, algorithm: str, folder: str) -> list[StoredBlob]:
        blobs = []
        try:
            entries = list(os.scandir(self._blobs / algorithm / folder))
        except FileNotFoundError:  # nobody has opened the store yet, as after a restore
            return []
        for entry in entries:
            try:
                blobs.append(StoredBlob(Digest.parse(f"{algorithm}:{entry.name}"), entry.stat().st_size))
            except (DigestInvalid, FileNotFoundError):
                continue
        return blobs

    def _list_uploads(self) -> list[str]:
        try:
            return [entry.name for entry in self._uploads.iterdir()]
        except FileNotFoundError:  # as above
            return []

    def _unlink(self, digest: Digest) -> None:
        self.path(digest).unlink(missing_ok=True)
        fsync_directory(self.path(digest).parent)


class FilesystemStaged:
    """Staged bytes in a file, held by its lock."""

    state = ""

    def __init__(self, store: FilesystemStore, upload: str) -> None:
        self._store = store
        self._path = store.staged_path(upload)
        self._file = -1
        self.size = 0

    async def cut(self, size: int) -> None:
        """See the contract."""
        if self.size < size:
            raise StagedBytesLost
        if self.size > size:
            await self._store.run(os.ftruncate, self._file, size)
        self.size = size

    async def write(self, chunk: bytes) -> None:
        """See the contract."""
        await self._store.run(self._write, chunk)

    @property
    def flushed(self) -> int:
        """See the contract."""
        return self.size

    async def flush(self) -> None:
        """See the contract: whoever opens the file finds what was written to it."""

    async def read(self) -> AsyncIterator[bytes]:
        """See the contract."""
        for offset in range(0, self.size, CHUNK_BYTES):
            yield await self._store.run(os.pread, self._file, min(CHUNK_BYTES, self.size - offset), offset)

    async def publish(self, digest: Digest) -> None:
        """See the contract."""
        await self._store.run(self._publish, self._store.path(digest))

    def hold(self) -> None:
        """Open and lock the file; for the store alone."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        lock(self._file, self._path)
        self.size = os.fstat(self._file).st_size

    def let_go(self) -> None:
        """Close the file, and with it give up the lock; for the store alone."""
        if self._file >= 0:
            os.close(self._file)

    def _write(self, chunk: bytes) -> None:
        rest, whole_before = memoryview(chunk), self.size // _WRITE_OUT_BYTES
        while rest:
            written = os.pwrite(self._file, rest, self.size)
            self.size += written
            rest = rest[written:]
        if (whole := self.size // _WRITE_OUT_BYTES) > whole_before:
            write_out(self._file, whole_before * _WRITE_OUT_BYTES, whole * _WRITE_OUT_BYTES)

    def _publish(self, target: Path) -> None:
        try:
            os.fsync(self._file)
        except OSError:
            # The kernel may have dropped what it could not write, and would say yes when asked again: these bytes
            # must never be published, whoever tries next.
            self._path.unlink(missing_ok=True)
            raise
        self._path.rename(target)
        fsync_directory(target.parent)


class FilesystemReader:
    """A blob in a file."""

    def __init__(self, store: FilesystemStore, digest: Digest) -> None:
        self._store = store
        self._digest = digest
        self._ahead: bytes | None = None
        self.file = -1
        self.size = 0

    async def url(self, seconds: float) -> None:
        """See the contract."""
        del seconds

    async def read(self, offset: int, length: int) -> bytes:
        """See the contract."""
        if self._ahead is not None:
            return self._ahead[offset : offset + length]
        return await self._store.run(os.pread, self.file, length, offset)

    def open(self) -> None:
        """Open the file; for the store alone."""
        try:
            self.file = os.open(self._store.path(self._digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobMissing(self._digest) from None
        self.size = os.fstat(self.file).st_size
        if self.size <= _READ_AHEAD_BYTES:
            self._ahead = os.pread(self.file, self.size, 0)

    def close(self) -> None:
        """Close the file; for the store alone."""
        if self.file >= 0:
            os.close(self.file)


def _discard(path: Path) -> None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        lock(file, path)
        path.unlink()
    finally:
        os.close(file)


def _try_to_write(path: Path) -> None:
    path.write_bytes(b"ok")
    path.unlink(missing_ok=True)
