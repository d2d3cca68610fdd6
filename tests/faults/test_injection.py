"""A failure, or a cancelled request, at every step of every deed: nothing acknowledged is lost, nothing is broken."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from registry import logs
from registry.api.door import Door, DoorSettings
from registry.app import build_registry
from registry.auth.nobody import NoUsers
from registry.config import load
from registry.db.migrate import migrate
from registry.operations.check import check
from registry.operations.purging import purge
from registry.storage.objects.store import ObjectStore
from tests.faults.client import Client, ConnectionCut, Refused
from tests.faults.deeds import DEEDS, Deed, Doing, Scene
from tests.faults.injection import Faults, FaultyDatabase, FaultyStore
from tests.faults.ledger import Ledger

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from registry.operations.registry import Registry
    from tests.s3 import S3Server

pytestmark = pytest.mark.anyio

_STEPS_MAX = 1000


@dataclass(frozen=True)
class Bench:
    """A registry whose store and database fail on demand, and the way to it; `sound` is the same without faults."""

    sound: Registry
    faults: Faults
    http: httpx.AsyncClient

    def scene(self, name: str) -> Scene:
        """A repository of its own."""
        return Scene(Client(self.http, Ledger()), name)

    async def broken_promises(self, scene: Scene, *, deep: bool = False) -> list[str]:
        """What the client was promised and does not get, and what `registry check` finds."""
        report = await check(self.sound, lambda *_: None, deep=deep)
        return await scene.client.ledger.faults(self.http) + report.problems

    async def settle(self) -> None:
        """Wait for queries that a cancelled request has left behind: both kinds run on one thread here."""
        for write in (self.sound.database.write, self.sound.database.write_soon):
            await write(lambda connection: connection.execute(text("SELECT 1")))


@asynccontextmanager
async def opened(folder: Path, store: Mapping[str, object], database_url: str) -> AsyncIterator[Bench]:
    """Open a registry below `folder`."""
    config = load(
        None,
        {
            **store,
            "storage.directory": str(folder / "data"),
            "database.url": database_url,
            "database.pool_size": 1,  # one thread, one connection: what is left open can be counted
            "uploads.idle_seconds_max": 0.001,
        },
    )
    sound = build_registry(config)
    await sound.store.open()
    await asyncio.to_thread(migrate, sound.database)
    faults = Faults()
    faulty = replace(
        sound, store=FaultyStore(sound.store, faults), database=FaultyDatabase(sound.database, faults)
    )
    transport = httpx.ASGITransport(
        _as_task(Door(faulty, NoUsers(), DoorSettings(60, logs.access_log())), faults)
    )
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as http:
            yield Bench(sound, faults, http)
    finally:
        sound.database.close()


def _as_task(door: Door, faults: Faults) -> Callable[..., object]:
    """Each request is a task of its own, as in the server; where it ends without an answer, the connection is cut."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        faults.request = request = asyncio.create_task(door(scope, receive, send))
        await asyncio.wait([request])
        if request.cancelled():
            raise ConnectionCut("cancelled")
        if error := request.exception():
            raise ConnectionCut(repr(error))

    return app


@pytest.fixture(params=["memory", "filesystem", "objects"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> AsyncIterator[Bench]:
    """Give an empty registry, on every store and every database."""
    store: Mapping[str, object] = {"storage.kind": request.param}
    if request.param == "objects":
        s3: S3Server = request.getfixturevalue("s3")
        store = s3.settings()
    with capture_logs():  # hundreds of tracebacks, which take longer to write than the tests take
        async with opened(tmp_path, store, database_url) as bench:
            yield bench


@pytest.mark.parametrize("strike", [Faults.fail, Faults.cancel], ids=["failed", "cancelled"])
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
async def test_strike_at_every_step(bench: Bench, deed: Deed, strike: Callable[[Faults, str], None]) -> None:
    """Whichever step of a deed is struck: the client is not told that all is well, and a retry succeeds."""
    first = bench.scene("first")
    await (await deed(first))()
    await bench.settle()
    assert await bench.broken_promises(first) == []  # by now, whatever stays open is open
    gc.collect()  # or what earlier tests have left is closed while we count
    files = open_files(bench)
    for number in itertools.count():
        assert number < _STEPS_MAX
        scene = bench.scene(f"step-{number}")
        do = await deed(scene)
        bench.faults.arm(number, lambda name: strike(bench.faults, name))
        refused = await refusal(do)
        bench.faults.disarm()
        if bench.faults.struck is None:
            break
        await bench.settle()
        where = f"struck {bench.faults.struck}: {refused}"
        assert refused is not None, where
        assert refused.status in {0, 500}, where
        assert await bench.broken_promises(scene) == [], where
        await do()
        assert await scene.client.ledger.faults(bench.http) == [], where
        assert open_files(bench) == files, where
    assert await bench.broken_promises(scene, deep=True) == []
    # Also what was touched this very moment: a bucket tells its times to a second.
    await purge(replace(bench.sound, settings=replace(bench.sound.settings, upload_idle_seconds_max=-2)))
    assert [upload async for upload in bench.sound.store.uploads()] == []


async def refusal(do: Doing) -> Refused | None:
    """Why the client was not told that all is well, None where it was."""
    try:
        await do()
    except Refused as refused:
        return refused
    return None


def open_files(bench: Bench) -> int:
    """How many files this process has open; where objects are stored, connections come and go, and are not counted."""
    if not isinstance(bench.sound.store, ObjectStore):
        return len(os.listdir("/proc/self/fd"))
    opened = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            opened.append(os.readlink(file))
    return sum(not name.startswith(("socket:", "anon_inode:")) for name in opened)
