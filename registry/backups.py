"""Backup, restore and rebuild as the command line has them: files, and the registry of a configuration."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast

from registry import __version__
from registry.app import build_registry, prepare
from registry.db.clock import now_us
from registry.db.migrate import current_revision, has_tables, require_current
from registry.operations.backup import back_up, require_empty, restore_backup
from registry.operations.backup_file import BackupInvalid, BackupReader, BackupWriter, Header
from registry.operations.rebuilding import rebuild_and_check
from registry.storage.files import fsync_directory

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from registry.config import Config
    from registry.operations.check import CheckReport, Progress
    from registry.operations.rebuilding import RebuildReport
    from registry.operations.registry import Registry
    from registry.operations.restoring import RestoreReport


def backup(config: Config, target: Path | None, progress: Progress) -> Counter[str]:
    """Write a backup of the database to a file, or (None) to standard output; what it holds, counted."""
    with _registry(config) as registry:
        require_current(registry.database)
        revision = current_revision(registry.database) or ""
        with _written(target) as file:
            writer = BackupWriter(file, Header(__version__, revision, now_us()))
            return asyncio.run(back_up(registry.database, writer, progress))


def restore(
    config: Config, source: Path, progress: Progress, *, deep: bool
) -> tuple[RestoreReport, CheckReport]:
    """Fill the empty database from a backup, which is verified before anything is written; see `restore_backup`."""
    with _read(source) as reader, _registry(config) as registry:
        _prepare_empty(config, registry)
        return asyncio.run(restore_backup(registry, reader, progress, deep=deep))


def rebuild(config: Config, before: float | None, progress: Progress) -> tuple[RebuildReport, CheckReport]:
    """Fill the empty database with what the store tells of itself, and verify it; see `operations/rebuilding.py`."""
    with _registry(config) as registry:
        _prepare_empty(config, registry)
        return asyncio.run(rebuild_and_check(registry, progress, before))


def _prepare_empty(config: Config, registry: Registry) -> None:
    if has_tables(registry.database):  # before they are brought up to date: it may be another's
        asyncio.run(require_empty(registry.database))
    prepare(config)


@contextmanager
def _read(source: Path) -> Iterator[BackupReader]:
    """A backup, all of it verified; a pipe cannot be read twice, and is refused."""
    _require_file(source)
    with source.open("rb") as file:
        try:
            reader = BackupReader(file)
            reader.verify()
        except BackupInvalid as error:
            raise BackupInvalid(f"{source}: {error}") from None
        yield reader


@contextmanager
def _registry(config: Config) -> Iterator[Registry]:
    registry = build_registry(config)
    try:
        yield registry
    finally:
        registry.store.close()
        registry.database.close()


@contextmanager
def _written(target: Path | None) -> Iterator[BinaryIO]:
    """A file that has its name only once all of it is on disk; whatever had the name before keeps it until then."""
    if target is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    _require_file(target)
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}-", delete=False) as file:
        try:
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).rename(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    fsync_directory(target.parent)


def _require_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is not a file", str(path))
