"""A rolling restart: each replica in turn is told to end and is started again, while clients that never try twice go on."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.faults.client import Client, digest_of, image
from tests.faults.ledger import ANY_TYPE, Ledger
from tests.replicas.fleet import running_fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.postgres import Cluster
    from tests.replicas.fleet import Fleet, Replica
    from tests.s3 import S3Server

pytestmark = [pytest.mark.replicas, pytest.mark.anyio]

CLIENTS: Final = 8
ROUNDS: Final = 2
BELIEVED_SECONDS: Final = 2.0
"""nginx asks a replica that it has found away again after `fail_timeout`, of which it counts whole seconds."""
CHUNKS: Final = 3
LAYER_BYTES_MAX: Final = 400_000
PAUSE_SECONDS_MAX: Final = 0.3
"""Between two pieces of a body, so that some requests are under way whenever a replica is told to end."""
REQUESTS_MIN: Final = 300


async def test_rolling_restart(postgres_cluster: Cluster, s3: S3Server, tmp_path: Path) -> None:
    """No request is refused or lost, and what was acknowledged pulls, though nobody tries again but nginx where it may."""
    settings = {**s3.settings(), "database.url": postgres_cluster.create_database()}
    with running_fleet(tmp_path, settings, s3.environment) as fleet:
        trust = ssl.create_default_context(cafile=fleet.proxy.authority)
        url = f"https://{fleet.proxy.tls_host}"
        async with httpx.AsyncClient(base_url=url, verify=trust, timeout=60, trust_env=False) as http:
            clients = [Client(http, Ledger()) for _ in range(CLIENTS)]
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for number, client in enumerate(clients):
                    group.create_task(work(client, number, stop))
                for replica in fleet.replicas * ROUNDS:
                    await replace(replica)
                stop.set()
            require_answered(fleet)
            assert [fault for client in clients for fault in await client.ledger.faults(http)] == []
        checked = await asyncio.to_thread(fleet.check)
        assert checked.returncode == 0, checked.stdout + checked.stderr


async def replace(replica: Replica) -> None:
    """End it as an upgrade does, and go on once it is back and nginx knows."""
    assert await asyncio.to_thread(replica.stop) == 0
    replica.start()
    assert await asyncio.to_thread(replica.wait_until_ready)
    await asyncio.sleep(BELIEVED_SECONDS)


async def work(client: Client, number: int, stop: asyncio.Event) -> None:
    """Push images in every way, list and pull them; Refused at the first answer that is not the one hoped for."""
    repository = f"team/r{number}"
    chance = random.Random(number)  # noqa: S311 - no secret
    images = 0
    while not stop.is_set():
        config, *layers = (chance.randbytes(chance.randint(CHUNKS, LAYER_BYTES_MAX)) for _ in range(5))
        await client.push(repository, config)
        await client.push_by_put(repository, layers[0])
        await client.push_streamed(repository, layers[1])
        await client.push_chunked(repository, layers[2])
        await push_slowly(client, repository, layers[3], chance)
        manifest = image(config, [(digest_of(layer), len(layer)) for layer in layers])
        await client.put(repository, manifest, f"t{images}")
        images += 1
        await client.ask(200, "GET", "/v2/_catalog")
        tags = await client.ask(200, "GET", f"/v2/{repository}/tags/list")
        assert len(tags.json()["tags"]) == images
        path = f"/v2/{repository}/manifests/t{images - 1}"
        await client.ask(200, "HEAD", path, headers=ANY_TYPE)
        assert (await client.ask(200, "GET", path, headers=ANY_TYPE)).content == manifest.content
        for layer in layers:
            path = f"/v2/{repository}/blobs/{digest_of(layer)}"
            await client.ask(200, "HEAD", path)
            assert (await client.ask(200, "GET", path)).content == layer


async def push_slowly(client: Client, repository: str, content: bytes, chance: random.Random) -> None:
    """A blob by several chunks, of which each goes to the next replica, and comes in pieces with pauses in between."""
    upload, size = await client.start(repository), len(content) // CHUNKS
    for start in range(0, size * CHUNKS, size):
        chunk = content[start : start + size]
        headers = {"content-range": f"{start}-{start + size - 1}", "content-length": str(size)}
        await client.ask(202, "PATCH", upload, content=_paused(chunk, chance), headers=headers)
    await client.finish(repository, upload, content, size * CHUNKS)


async def _paused(content: bytes, chance: random.Random) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]
    await asyncio.sleep(chance.uniform(0, PAUSE_SECONDS_MAX))
    yield content[len(content) // 2 :]


def require_answered(fleet: Fleet) -> None:
    """There were many requests, every replica took some, all were answered well, and nginx did find replicas away."""
    requests = fleet.proxy.requests()
    statuses = Counter(request.status for request in requests)
    print(statuses)  # noqa: T201 - pytest shows it where the test fails, or with -rP
    assert statuses.total() >= REQUESTS_MIN
    assert [status for status in statuses if status >= "400"] == []
    asked = {request.replica for request in requests}
    assert asked >= {replica.address for replica in fleet.replicas}
    assert any(", " in replicas for replicas in asked)
