"""What the stores in a folder do with files: make their names durable, and hold them for one alone."""

from __future__ import annotations

import ctypes
import fcntl
import os
from typing import TYPE_CHECKING, Final

from registry.storage.contract import StagedBusy

if TYPE_CHECKING:
    from pathlib import Path

_SYNC_FILE_RANGE: Final = getattr(ctypes.CDLL(None), "sync_file_range", None)
"""Linux alone has it, and Python no name for it."""
_SYNC_FILE_RANGE_WRITE: Final = 2  # linux/fs.h


def write_out(file: int, start: int, end: int) -> None:
    """Let the kernel begin to write these bytes to the disk: a sync then has little left to wait for.

    Nothing is durable by it, and what goes wrong is told by the sync.
    """
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(file, ctypes.c_int64(start), ctypes.c_int64(end - start), _SYNC_FILE_RANGE_WRITE)


def make_directory(directory: Path) -> None:
    """Make a folder and those above it that are not there, each of them durably."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    fsync_directory(directory.parent)


def fsync_directory(directory: Path) -> None:
    """Make the names in a folder survive a power cut."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def lock(file: int, path: Path) -> None:
    """Hold an open file until it is closed; StagedBusy where somebody else does, or it lies no longer at `path`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StagedBusy from None
    # Between opening and locking, the holder before us may have published or discarded this very file: writing to
    # it now would change a published blob.
    try:
        named = path.stat()
    except FileNotFoundError:
        raise StagedBusy from None
    if not os.path.samestat(named, os.fstat(file)):
        raise StagedBusy
