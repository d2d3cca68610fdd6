"""Eight clients push and pull through nginx while replicas, Postgres and the bucket fail: what was acknowledged is there.

CHAOS_SECONDS in the environment says for how long, CHAOS_SEED what the clients ask for and what happens to them. When it
happens no seed can tell.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections import Counter
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import httpx
import pytest
from sqlalchemy import func, select

from registry.app import build_registry
from registry.config import load
from registry.db.schema import uploads
from registry.operations import purging
from registry.storage.objects.layout import LEFTOVERS, SEGMENTS, UPLOADS, published_key, upload_of
from registry.storage.objects.multipart import _client, _listed
from registry.storage.objects.store import ObjectStore
from tests.postgres import FORGETFUL, running_cluster
from tests.replicas.chaos import Chaos
from tests.replicas.fleet import running_fleet
from tests.replicas.pushers import pushing
from tests.s3_faults import KINDS, faulty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from registry.operations.registry import Registry
    from tests.replicas.fleet import Fleet
    from tests.replicas.pushers import Pusher
    from tests.s3 import S3Server

T = TypeVar("T")

pytestmark = [pytest.mark.replicas, pytest.mark.anyio]

SECONDS: Final = float(os.environ.get("CHAOS_SECONDS", "75"))
SEED: Final = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10_000))
IDLE_SECONDS: Final = -10.0
"""With it, everything is idle, though the services' clocks and their steps differ a little."""
WAYS: Final = ("push", "push_by_put", "push_streamed", "push_chunked", "push_resumed")
DEEDS: Final = (
    *WAYS,
    "images",
    "pulls",
    "mounts",
    "indexes",
    "deletions",
    "pushes in haste",
    "acknowledged chunks",
)
HARM: Final = (
    "replicas ended with SIGKILL",
    "replicas ended with SIGTERM",
    "Postgres ended with SIGINT",
    "Postgres ended with SIGQUIT",
)


async def test_chaos(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every acknowledged push pulls, no upload goes back, what was deleted is gone, and nothing is left in the bucket."""
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    with running_cluster(FORGETFUL) as cluster:
        settings = {**s3.settings(), "database.url": cluster.create_database()}
        async with faulty(s3.endpoint, 0, KINDS) as bucket:
            shaky = {
                **settings,
                "storage.objects.endpoint": bucket.endpoint,
                "uploads.purge_interval_seconds": 5,
            }
            async with in_thread(running_fleet(tmp_path, shaky, s3.environment)) as fleet:
                chaos = Chaos(fleet.replicas, cluster, bucket, SEED)
                url = f"http://{fleet.proxy.host}"
                async with pushing(url, SEED, lambda: chaos.forgetful_until) as pushers:
                    await chaos.rage(SECONDS)
                done = sum((pusher.done for pusher in pushers), chaos.done) + Counter(bucket.done)
                print(done)  # noqa: T201 - as above, or with -rP
                assert await left_over(settings, monkeypatch) == []
                assert await kept(fleet, pushers) == []
                checked = await asyncio.to_thread(fleet.check)
                assert checked.returncode == 0, checked.stdout + checked.stderr
        assert accidents(fleet) == []
    assert [kind for kind in (*DEEDS, *HARM, *bucket.done) if not done[kind]] == []


@asynccontextmanager
async def in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave it without holding up the loop, in which what it needs may run."""
    entered = await asyncio.to_thread(manager.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(manager.__exit__, *sys.exc_info())


async def kept(fleet: Fleet, pushers: list[Pusher]) -> list[str]:
    """Where something else is found than what was acknowledged."""
    url = f"http://{fleet.proxy.host}"
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        return [fault for pusher in pushers for fault in await pusher.ledger.faults(http)]


def accidents(fleet: Fleet) -> list[str]:
    """What replicas have logged that no failure of others explains."""
    lines = [line for replica in fleet.replicas for line in replica.log.read_text().splitlines()]
    told = [json.loads(line) for line in lines if line.startswith("{")]
    return [json.dumps(one) for one in told if is_accident(one)]


def is_accident(told: Mapping[str, object]) -> bool:
    """Whether it is a bare 500, or an error of ours; that a purge has to wait for database or bucket is none."""
    ours = str(told["logger"]).startswith("registry.") and "Unavailable" not in str(told.get("exception"))
    return told.get("status") == 500 or (ours and told["level"] == "error")


async def left_over(settings: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is there beside blobs, once everything that is idle was purged: objects, multipart uploads and rows."""
    for least in ("_LEFTOVER_SECONDS_MIN", "_STRAY_SECONDS_MIN"):
        monkeypatch.setattr(purging, least, IDLE_SECONDS)
    registry = build_registry(load(None, settings))
    with closing(registry.database), closing(registry.store):
        await registry.store.open()
        rules = replace(registry.settings, upload_idle_seconds_max=IDLE_SECONDS)
        await purging.purge(replace(registry, settings=rules))
        await purging.purge_strays(replace(registry, settings=rules), "")
        rows = await registry.database.read(lambda connection: connection.scalar(COUNT_UPLOADS))
        return [*([f"{rows} uploads have rows"] if rows else []), *await _objects_left_over(registry)]


COUNT_UPLOADS: Final = select(func.count()).select_from(uploads)


async def _objects_left_over(registry: Registry) -> list[str]:
    store = registry.store
    assert isinstance(store, ObjectStore)
    marks = [entry["path"] for kind in (UPLOADS, LEFTOVERS) async for entry in store.service.list(kind)]
    multipart = [one["Key"] for one in _listed(_client(store.service.bucket), store.service.bucket)]
    named = {key async for blob in store.blobs() for key in (await store._indexes.get(blob.digest)).keys}
    named |= {published_key(upload_of(key)) for key in named}
    segments = [entry["path"] async for entry in store.service.list(SEGMENTS)]
    return marks + multipart + [key for key in segments if key not in named]
