"""Registries for the tests of the door: with files on both databases, or a quick one in memory."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.postgres import Cluster
from tests.support.http import IN_MEMORY, Registry, Repository, running

_numbers = itertools.count(1)

Start = Callable[..., Awaitable[Registry]]


@pytest.fixture(scope="module", params=["sqlite-files", "postgres-files"])
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, object]:
    """Give settings for a fresh registry with files: the module runs with each database once."""
    directory = {"storage.directory": tmp_path_factory.mktemp("data")}
    if request.param == "sqlite-files":
        return directory
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    return {**directory, "database.url": cluster.create_database()}


@pytest.fixture(scope="module")
async def registry(settings: Mapping[str, object], anyio_backend: str) -> AsyncIterator[Registry]:
    """Give the module's registry, with files: on SQLite, and on Postgres."""
    async with running(settings) as registry:
        yield registry


@pytest.fixture
async def start(anyio_backend: str) -> AsyncIterator[Start]:
    """Give a function that starts a registry of the test's own, in memory where the settings say nothing else."""
    async with AsyncExitStack() as stack:

        async def start(settings: Mapping[str, object] | None = None, **options: Any) -> Registry:
            return await stack.enter_async_context(running({**IN_MEMORY, **(settings or {})}, **options))

        yield start


@pytest.fixture(scope="module")
async def quick(anyio_backend: str) -> AsyncIterator[Registry]:
    """Give a registry in memory, for what no database and no store can change."""
    async with running(IN_MEMORY) as registry:
        yield registry


@pytest.fixture
def repo(registry: Registry) -> Repository:
    """Give a repository of the module's registry that no other test uses."""
    return registry.repository(f"team/app-{next(_numbers)}")


@pytest.fixture
def other(registry: Registry) -> Repository:
    """Give a second one."""
    return registry.repository(f"other/app-{next(_numbers)}")
