"""Registries to do deeds on: each kind of store and each kind of database once."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from registry.db.database import open_database
from registry.storage.filesystem import FilesystemStore
from registry.storage.memory import MemoryStore
from registry.storage.objects.store import ObjectStore
from tests.support.registries import EXCLUSIVE, registry_on
from tests.support.tables import (
    database,
    postgres,
    postgres_tables_url,
    postgres_with_tables,
    sqlite_tables_url,
    sqlite_with_tables,
    tables_url,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from registry.operations.registry import Registry
    from registry.storage.contract import BlobStore
    from tests.s3 import S3Server

__all__ = [
    "database",
    "postgres",
    "postgres_tables_url",
    "postgres_with_tables",
    "sqlite_tables_url",
    "sqlite_with_tables",
    "tables_url",
]


def new_store(kind: str, folder: Path, request: pytest.FixtureRequest) -> BlobStore:
    """An empty store of this kind, not opened yet."""
    if kind == "memory":
        return MemoryStore()
    if kind == "filesystem":
        return FilesystemStore(folder)
    s3: S3Server = request.getfixturevalue("s3")
    return ObjectStore(s3.new_bucket())


@pytest.fixture(params=[*EXCLUSIVE, "objects+postgres"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    """Give a registry with nothing in it, open to all; test_machine.py has all pairs."""
    kind, database_kind = request.param.split("+")
    store = new_store(kind, tmp_path / "data", request)
    await store.open()
    with closing(open_database(request.getfixturevalue(f"{database_kind}_tables_url"))) as opened:
        yield registry_on(opened, store)
