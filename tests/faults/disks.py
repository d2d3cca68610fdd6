"""Disks that are full, and disks that can be looked at as a power cut would leave them.

One of the latter is an ext4 image on a loop device. The image's file lies on XFS, where `cp --reflink` copies it in an
instant: the copy is what had reached the disk at that moment, and nothing that was still in the memory of the system.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_XFS_BYTES = 3 * 1024**3
_DISK_BYTES = 512 * 1024**2


@contextmanager
def disk(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Give a mounted disk, and the file that its image is in."""
    outer, inner = folder / "outer", folder / "disk"
    with _mounted(_image(folder / "xfs.img", _XFS_BYTES, "mkfs.xfs", "-q", "-m", "reflink=1"), outer):
        image = _image(outer / "disk.img", _DISK_BYTES, "mkfs.ext4", "-q", "-F")
        with _mounted(image, inner):
            yield inner, image


def copy(image: Path, number: int) -> Path:
    """The image as it is on the disk at this moment."""
    target = image.with_name(f"copy-{number}.img")
    _run("cp", "--reflink=always", str(image), str(target))
    return target


@contextmanager
def after_power_cut(image: Path, folder: Path) -> Iterator[Path]:
    """Mount a copy, as the next start of the machine would, and throw it away afterwards."""
    try:
        with _mounted(image, folder):
            yield folder
    finally:
        image.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Callable[[int], None]]:
    """Mount a disk in memory at `folder`; the function that is given makes it larger."""

    def resize(size: int) -> None:
        _run("mount", "-o", f"remount,size={size}m", str(folder))

    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield resize
    finally:
        _run("umount", "--lazy", str(folder))


def _image(file: Path, size: int, *make: str) -> Path:
    with file.open("wb") as opened:
        opened.truncate(size)
    _run(*make, str(file))
    return file


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
