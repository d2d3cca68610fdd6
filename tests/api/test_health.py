"""`/`, `/healthz` and `/readyz`: for load balancers, which bring no credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.conftest import Start
from tests.postgres import Cluster
from tests.support.http import Registry

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_all_is_well(registry: Registry, method: str, path: str) -> None:
    """A registry whose database and storage answer is alive and ready."""
    assert (await registry.ask(method, path)).status_code == 200


async def test_ready_says_so(registry: Registry) -> None:
    """Readiness is told in words, without a fault."""
    assert (await registry.get("/readyz")).json() == {"status": "ready", "faults": {}}
    assert (await registry.get("/healthz")).json() == {"status": "alive"}


async def test_storage_is_gone(start: Start, tmp_path: Path) -> None:
    """Where the storage does not answer, the registry is alive and not ready, and is ready again when it does."""
    registry = await start({"storage.kind": "filesystem", "storage.directory": tmp_path / "data"})
    (tmp_path / "data" / "uploads").rename(tmp_path / "away")
    answer = await registry.get("/readyz")
    assert (answer.status_code, answer.json()["faults"]) == (
        503,
        {"storage": "FileNotFoundError: No such file or directory"},
    )
    assert (await registry.get("/healthz")).status_code == 200
    assert (await registry.ask("HEAD", "/readyz")).status_code == 503
    (tmp_path / "away").rename(tmp_path / "data" / "uploads")
    assert (await registry.get("/readyz")).status_code == 200


async def test_database_is_gone(start: Start, postgres_cluster: Cluster) -> None:
    """Where the database does not answer, the registry is alive and not ready, and tells no address with it."""
    url = postgres_cluster.create_database()
    registry = await start({"database.url": url})
    assert (await registry.get("/readyz")).status_code == 200
    postgres_cluster.drop_database(url)
    answer = await registry.get("/readyz")
    told = "Unavailable: the database does not answer at the moment; try again"
    assert (answer.status_code, answer.json()["faults"]) == (503, {"database": told})
    assert "test_" not in answer.text
    assert (await registry.get("/healthz")).status_code == 200
