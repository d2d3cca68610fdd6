"""`kill -9` of the whole server, again and again, while eight clients push."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from registry.app import check
from registry.config import load
from tests.faults.crashing import doomed_server
from tests.faults.ledger import Ledger
from tests.faults.pushers import pushing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.anyio]


@pytest.mark.parametrize(
    ("database", "workers", "kills"), [("sqlite", 1, 140), ("sqlite", 2, 30), ("postgres", 1, 30)]
)
async def test_acknowledged_pushes_survive_kills(
    tmp_path: Path, postgres_url: Callable[[], str], database: str, workers: int, kills: int
) -> None:
    """Whatever was acknowledged before a kill pulls and verifies after it, and `check` finds nothing."""
    url = postgres_url() if database == "postgres" else f"sqlite:///{tmp_path / 'data' / 'registry.db'}"
    options = ("--database-url", url, "--workers", str(workers))
    chance = random.Random(f"{database} {workers}")  # noqa: S311 (a test that can be repeated)
    ledger, position, images = Ledger(), 0, 0
    for kill in range(kills):
        with doomed_server(tmp_path / "data", *options) as (server, process):
            changed, position = ledger.changed_since(position)
            async with httpx.AsyncClient(base_url=server, timeout=30, trust_env=False) as http:
                assert await changed.faults(http) == []
            async with pushing(server, ledger, kill) as count:
                await asyncio.sleep(chance.uniform(0.05, 0.7))
                os.killpg(process.pid, signal.SIGKILL)  # in the middle of what they are doing
                images += count[0]
    with doomed_server(tmp_path / "data", *options) as (server, _):
        async with httpx.AsyncClient(base_url=server, timeout=30, trust_env=False) as http:
            assert await ledger.faults(http) == []
    assert images > kills
    config = load(None, {"storage.directory": str(tmp_path / "data"), "database.url": url})
    report = await asyncio.to_thread(check, config, True, lambda *_: None)  # noqa: FBT003
    assert report.problems == []
