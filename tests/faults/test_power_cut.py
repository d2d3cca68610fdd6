"""Power cuts at random moments of concurrent pushes."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from registry import logs
from registry.api.door import Door, DoorSettings
from registry.app import build_authenticator, build_registry
from registry.config import load
from registry.operations.check import check
from registry.operations.rebuilding import CannotRebuild, rebuild
from tests.faults.crashing import REGISTRY, doomed_server
from tests.faults.disks import after_power_cut, copy, disk
from tests.faults.ledger import Ledger
from tests.faults.pushers import pushing
from tests.support.tables import empty

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

_WITHOUT_FSYNC = (
    "import os; os.fsync = os.fdatasync = lambda file: None; from registry.__main__ import main; main()"
)


async def faults_after_cuts(folder: Path, cuts: int, command: Sequence[str]) -> list[str]:
    """Push, cut the power `cuts` times, and say what was promised and is not on the disk."""
    chance = random.Random(cuts)  # noqa: S311 (a test that can be repeated)
    ledger, faults, found = Ledger(), [], []
    with disk(folder) as (data, image):
        with doomed_server(data / "data", command=command) as (server, _):
            async with pushing(server, ledger, cuts) as images:
                for number in range(cuts):
                    await asyncio.sleep(chance.uniform(0.02, 0.3))
                    photograph = ledger.photograph()
                    cut = await asyncio.to_thread(copy, image, number)
                    found.append((cut, photograph.develop()))
                assert images[0] > 0
        for cut, promised in found:
            with after_power_cut(cut, folder / "copy") as after:
                faults += await faults_on(after / "data", promised)
    return faults


async def faults_on(data: Path, promised: Ledger) -> list[str]:
    """What is wrong with the data that a power cut left."""
    config = load(None, {"storage.directory": str(data)})
    registry = build_registry(config)
    try:
        report = await check(registry, lambda *_: None, deep=True)
        door = Door(registry, build_authenticator(config), DoorSettings(60, logs.access_log()))
        transport = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as http:
            faults = report.problems + await promised.faults(http)
            empty(registry.database)
            with suppress(CannotRebuild):  # before the first push was acknowledged, nothing need be told
                faults += (await rebuild(registry, lambda *_: None)).problems
            return faults + await promised.of_manifests().faults(http)
    finally:
        registry.store.close()
        registry.database.close()


async def test_acknowledged_pushes_survive_power_cuts(tmp_path: Path) -> None:
    """At each of 50 moments, all that was acknowledged is on the disk, pulls and verifies; no blob is cut off.

    Then the database is lost as well, and what is rebuilt from the journal has all acknowledged manifests and tags.
    """
    assert await faults_after_cuts(tmp_path, 50, REGISTRY) == []


async def test_missing_fsync_is_noticed(tmp_path: Path) -> None:
    """A registry that does not sync its blobs fails this very test: it can fail."""
    assert await faults_after_cuts(tmp_path, 15, (sys.executable, "-c", _WITHOUT_FSYNC)) != []
