"""Pushes, mounts, deletions and pulls in any order, on every store and both databases, compared with a model."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from registry.db.database import open_database
from registry.storage.filesystem import FilesystemStore
from registry.storage.objects.store import ObjectStore
from tests.operations.conftest import new_store
from tests.operations.machine import RegistryMachine
from tests.support.registries import registry_on
from tests.support.tables import empty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.db.database import Database
    from registry.operations.registry import Registry
    from registry.storage.contract import BlobStore


class Pair:
    """A kind of store with a database."""

    def __init__(self, new_store: Callable[[], BlobStore], url: str, folder: Path) -> None:
        self._new_store = new_store
        self._url = url
        self._folder = folder
        self._store = new_store()
        self._database: Database | None = None

    async def fresh(self) -> Registry:
        """A registry with nothing in it."""
        registry = await self.with_empty_database()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._store = self._new_store()
        await self._store.open()
        return registry_on(registry.database, self._store)

    async def with_empty_database(self) -> Registry:
        """The same store, whose database has lost everything."""
        registry = await self.restarted()
        empty(registry.database)
        return registry

    async def restarted(self) -> Registry:
        """The same store and database, opened anew; memory outlives this restart, as nothing else could."""
        self.close()
        if isinstance(self._store, FilesystemStore):
            self._store = FilesystemStore(self._folder)
        elif isinstance(self._store, ObjectStore):
            self._store = ObjectStore(self._store.service.bucket)
        self._database = open_database(self._url)
        return registry_on(self._database, self._store)

    def close(self) -> None:
        """Close the database."""
        if self._database:
            self._database.close()
            self._database = None


@pytest.mark.parametrize("kind", ["memory", "filesystem", "objects"])
def test_registry_is_as_the_model(
    kind: str, tables_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever is done, a registry answers as a few dictionaries would, and its check finds nothing wrong."""
    pair = Pair(lambda: new_store(kind, tmp_path / "blobs", request), tables_url, tmp_path / "blobs")
    run_state_machine_as_test(
        lambda: RegistryMachine(pair),
        settings=settings(
            max_examples=15,
            stateful_step_count=50,
            deadline=None,  # how fast a machine is proves nothing
            suppress_health_check=list(HealthCheck),
            phases=[phase for phase in Phase if phase != Phase.explain],
        ),
    )
