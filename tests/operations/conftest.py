"""Registries to do deeds on: each kind of store and each kind of database once."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from registry.db.database import open_database
from registry.storage.filesystem import FilesystemStore
from registry.storage.memory import MemoryStore
from tests.support.registries import registry_on
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

__all__ = [
    "database",
    "postgres",
    "postgres_tables_url",
    "postgres_with_tables",
    "sqlite_tables_url",
    "sqlite_with_tables",
    "tables_url",
]


@pytest.fixture(params=["memory+sqlite", "filesystem+postgres"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    """Give a registry with nothing in it, open to all; test_machine.py has all four pairs."""
    kind, database_kind = request.param.split("+")
    store: BlobStore = MemoryStore() if kind == "memory" else FilesystemStore(tmp_path / "data")
    await store.open()
    with closing(open_database(request.getfixturevalue(f"{database_kind}_tables_url"))) as opened:
        yield registry_on(opened, store)
