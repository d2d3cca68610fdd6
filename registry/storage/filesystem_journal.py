"""The journal and the snapshots of a store in a folder.

    DIRECTORY/
      journal/3f9c0a7d...jsonl       lines, appended by the one process that holds this file
      snapshots/00000000000000004711-3f9c...   a snapshot, up to line 4711

Each process appends to a file of its own, which it holds with a lock for as long as it does, and begins a new one when
that is large, or when something went wrong: so whatever is cut off or doubtful lies at the end of a file.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.oci.errors import Unavailable
from registry.storage.contract import CHUNK_BYTES, StagedBusy
from registry.storage.files import fsync_directory, lock
from registry.storage.journal import Snapshot, damaged_in, decode_all, new_name, number_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from registry.storage.journal import Damaged, Line

_PART_BYTES_MAX: Final = 16 * 1024 * 1024
"""A file that is larger is appended to no more. Whole files are read, and forgotten."""
_NEW: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_TAIL_BYTES: Final = 64 * 1024
_ABANDONED_SECONDS: Final = 86400.0
"""A file that somebody began to write so long ago will not be finished."""


@dataclass(slots=True)
class _Part:
    """A file that this process holds, and the bytes in it that are on the disk."""

    path: Path
    file: int
    size: int = 0


class _File:
    """A file that is opened on a thread: who is cancelled meanwhile never learns its number, and closes it still."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = -1

    def open(self, flags: int) -> None:
        self.number = os.open(self._path, flags, 0o644)

    def close(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class FilesystemJournal:
    """Lines in files that are appended to, each snapshot in a file of its own; `run` runs functions on threads."""

    def __init__(self, directory: Path, run: Callable[..., Any]) -> None:
        self._journal = directory / "journal"
        self._snapshots = directory / "snapshots"
        self.folders = (self._journal, self._snapshots)
        self._run = run
        self._appending = threading.Lock()
        self._part: _Part | None = None

    async def append(self, lines: Sequence[Line]) -> None:
        """See the contract."""
        try:
            await self._run(self._append, b"".join(line.encode() for line in lines))
        except (OSError, StagedBusy) as error:
            raise Unavailable("the journal cannot be written at the moment; try again") from error

    async def lines(self, behind: int, damaged: Damaged = lambda *_: None) -> AsyncIterator[Line]:
        """See the contract."""
        for path in await self._run(_parts, self._journal):
            content = await self._run(_content, path)
            if count := damaged_in(content):
                damaged(str(path), count)
            for line in decode_all(content, behind):
                yield line

    async def reached(self, behind: int) -> int:
        """See the contract."""
        highest = behind
        for path in await self._run(_parts, self._journal):
            highest = max(highest, await self._run(_end_of, path))
        return highest

    async def forget(self, until: int) -> None:
        """See the contract: files without any other line, that nobody appends to."""
        for path in await self._run(_parts, self._journal):
            await self._run(_forget_part, path, until)
        await self._run(self._forget_snapshots, until)

    async def save(self, until: int, pieces: AsyncIterator[bytes]) -> None:
        """See the contract: a name that is none until everything is on disk."""
        path = self._snapshots / new_name(until)
        hidden = path.with_name(f".{path.name}")
        file = _File(hidden)
        try:
            await self._run(file.open, _NEW)
            async for piece in pieces:
                await self._run(_write, file.number, piece)
            await self._run(_publish, file.number, hidden, path)
        except BaseException:
            hidden.unlink(missing_ok=True)  # whoever is cancelled may have published it
            raise
        finally:
            file.close()

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """See the contract."""
        for path in await self._run(_paths, self._snapshots):
            if snapshot := await self._run(_snapshot, path):
                yield snapshot

    async def read(self, snapshot: Snapshot) -> AsyncIterator[bytes]:
        """See the contract."""
        file = _File(self._snapshots / snapshot.name)
        try:
            await self._run(file.open, os.O_RDONLY | os.O_CLOEXEC)
            while piece := await self._run(os.read, file.number, CHUNK_BYTES):
                yield piece
        finally:
            file.close()

    def close(self) -> None:
        """Append no more."""
        with self._appending:
            self._end()

    def _append(self, content: bytes) -> None:
        with self._appending:
            part = self._part = self._part or _begin(self._journal / f"{secrets.token_hex(16)}.jsonl")
            try:
                _write(part.file, content)
                os.fdatasync(part.file)
                _require_name(part)
            except OSError:
                # What is at its end now may be a part of a line, or not on the disk at all.
                self._end()
                if part.size == 0:
                    part.path.unlink(missing_ok=True)
                raise
            part.size += len(content)
            if part.size > _PART_BYTES_MAX:
                self._end()

    def _end(self) -> None:
        if self._part is not None:
            os.close(self._part.file)
            self._part = None

    def _forget_snapshots(self, until: int) -> None:
        for path in _paths(self._snapshots):
            number = number_of(path.name.removeprefix("."))
            if number is not None and number < until and not _is_being_written(path):
                path.unlink(missing_ok=True)


def _is_being_written(path: Path) -> bool:
    return path.name.startswith(".") and path.stat().st_mtime > time.time() - _ABANDONED_SECONDS


def _begin(path: Path) -> _Part:
    file = os.open(path, _NEW, 0o644)
    try:
        lock(file, path)
        fsync_directory(path.parent)
    except BaseException:
        os.close(file)
        path.unlink(missing_ok=True)
        raise
    return _Part(path, file)


def _require_name(part: _Part) -> None:
    """FileNotFoundError where somebody has taken the file away: what is written to it goes with whoever holds it."""
    if os.fstat(part.file).st_nlink == 0:
        raise FileNotFoundError(errno.ENOENT, "taken away while it was written", str(part.path))


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _publish(file: int, hidden: Path, path: Path) -> None:
    os.fsync(file)
    hidden.rename(path)
    fsync_directory(path.parent)


def _paths(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:  # nobody has opened the store yet
        return []


def _parts(journal: Path) -> list[Path]:
    """But for what was written to see whether that can be done."""
    return [path for path in _paths(journal) if not path.name.startswith(".")]


def _snapshot(path: Path) -> Snapshot | None:
    """The snapshot that lies there; None where something else does, or it has just been forgotten."""
    until = number_of(path.name)
    try:
        return None if until is None else Snapshot(path.name, until, path.stat().st_mtime)
    except FileNotFoundError:
        return None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # just forgotten
        return b""


def _end_of(path: Path) -> int:
    """The greatest id near the end of a file, 0 where it has no lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            found = decode_all(file.read(), 0) or decode_all(_content(path), 0)
    except FileNotFoundError:
        return 0
    return max((line.id for line in found), default=0)


def _forget_part(path: Path, until: int) -> None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(file)
        if not status.st_size and status.st_mtime > time.time() - _ABANDONED_SECONDS:
            return  # its writer has just made it, and is about to lock it
        lock(file, path)  # its writer holds it
        if not decode_all(_content(path), until):
            path.unlink(missing_ok=True)
    except StagedBusy:
        return
    finally:
        os.close(file)
