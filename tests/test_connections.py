"""Connections to Postgres: never more than configured, and when it goes away the registry waits, says so and recovers.

With a real server process, and a Postgres of the test's own that is stopped while clients push.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import psycopg
import pytest

from tests.postgres import Cluster, running_cluster
from tests.server import running_server
from tests.support.content import Manifest, image

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio

OUTAGES: Final = 3
CLIENTS: Final = 4
POOL_SIZE: Final = 3
STORM: Final = 40
"""Clients at once: many more than connections."""
WAIT_SECONDS_MAX: Final = 60
BUSY_SECONDS_MAX: Final = 3
LATE_SECONDS_MAX: Final = 2
"""What the registry allows itself beyond that."""
PROBE_SECONDS_MAX: Final = 5
SLACK_SECONDS: Final = 4
"""What a busy machine takes; who is not given up waits for as long as Postgres is silent."""


@dataclass
class Clients:
    """Clients that push until they are told to stop; `pushed` has the manifests whose push was acknowledged, by tag."""

    http: httpx.AsyncClient
    pushed: dict[str, Manifest] = field(default_factory=dict)
    refused: int = 0
    cut_off_allowed: bool = False
    stopping: bool = False

    async def push_on(self, name: str) -> None:
        """Push images of new content, one after the other, each until it is taken."""
        for number in itertools.count():
            if self.stopping:
                return
            tag = f"{name}-{number}"
            manifest = image(tag, (f"{tag} base", f"{tag} code"))
            await self.push(tag, manifest)
            self.pushed[tag] = manifest

    async def push(self, tag: str, manifest: Manifest) -> None:
        """Push one image, as a client that comes again when it is told to."""
        for blob in manifest.blobs:
            await self.insist("POST", f"blobs/uploads/?digest={blob.digest}", content=blob.content)
        headers = {"content-type": manifest.media_type}
        await self.insist("PUT", f"manifests/{tag}", content=manifest.content, headers=headers)

    async def insist(self, method: str, path: str, **options: Any) -> None:
        """Ask until it was done; whatever else is answered says that and when to come again."""
        while not await self.ask(method, path, **options):
            self.refused += 1
            await asyncio.sleep(0.1)

    async def ask(self, method: str, path: str, **options: Any) -> bool:
        """Whether it was done; False where the connection was cut off too, if that is allowed."""
        try:
            answer = await self.http.request(method, f"/v2/team/app/{path}", **options)
        except httpx.TransportError:
            assert self.cut_off_allowed
            return False
        if answer.status_code != 201:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code == 201

    async def verify(self) -> None:
        """Every push that was acknowledged is there, with all its bytes."""
        for tag, manifest in self.pushed.items():
            answer = await self.http.get(f"/v2/team/app/manifests/{tag}")
            assert answer.content == manifest.content
            for blob in manifest.blobs:
                answer = await self.http.get(f"/v2/team/app/blobs/{blob.digest}")
                assert answer.content == blob.content


@asynccontextmanager
async def pushing(host: str, number: int) -> AsyncIterator[Clients]:
    """So many clients that push until the block ends, and what they pushed is verified then."""
    limits = httpx.Limits(max_connections=number + 2)
    async with httpx.AsyncClient(base_url=f"http://{host}", timeout=WAIT_SECONDS_MAX, limits=limits) as http:
        clients = Clients(http)
        async with asyncio.TaskGroup() as tasks:
            for name in range(number):
                tasks.create_task(clients.push_on(f"client{name}"))
            yield clients
            clients.stopping = True
        await clients.verify()


async def becomes(clients: Clients, status: int) -> dict[str, Any]:
    """What /readyz says once it answers with this status."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while (answer := await clients.http.get("/readyz")).status_code != status:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.05)
    said: dict[str, Any] = answer.json()
    return said


async def lives(host: str) -> bool:
    """What a liveness probe finds, on a connection of its own."""
    async with httpx.AsyncClient() as http:
        return (await http.get(f"http://{host}/healthz")).status_code == 200


async def goes_on(clients: Clients) -> None:
    """Until as many images were pushed as there are clients."""
    enough = len(clients.pushed) + CLIENTS
    await until(lambda: len(clients.pushed) >= enough)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the clients do meanwhile."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - nobody can tell but the server
            await asyncio.sleep(0.05)


def settings(url: str, **more: str) -> dict[str, str]:
    """The variables of a registry on this database."""
    return {"REGISTRY_DATABASE__URL": url, "REGISTRY_DATABASE__POOL_SIZE": str(POOL_SIZE), **more}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Give a Postgres that the test may stop."""
    with running_cluster({"max_connections": "10"}) as cluster:
        yield cluster


async def test_postgres_goes_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    """While Postgres is away, clients are told when to come again and probes that it is; then all goes on by itself."""
    with running_server(tmp_path, settings(cluster.create_database())) as server:
        async with pushing(server.host, CLIENTS) as clients:
            for _ in range(OUTAGES):
                await goes_on(clients)
                cluster.stop()
                clients.refused = 0
                assert (await becomes(clients, 503))["faults"].keys() == {"database"}
                assert await lives(server.host)
                await until(lambda: clients.refused >= CLIENTS)
                cluster.start()
                await becomes(clients, 200)
            await goes_on(clients)


async def test_postgres_hangs(cluster: Cluster, tmp_path: Path) -> None:
    """While Postgres is silent, clients and probes are answered in time, again and again; then all goes on by itself."""
    busy = {"REGISTRY_DATABASE__BUSY_SECONDS_MAX": str(BUSY_SECONDS_MAX)}
    with running_server(tmp_path, settings(cluster.create_database(), **busy)) as server:
        async with pushing(server.host, CLIENTS) as clients:
            await goes_on(clients)
            with cluster.frozen():
                for _ in range(2):  # once with connections that were there, once without
                    asked = [told_to_come_again(server.host) for _ in range(3 * POOL_SIZE)]
                    ready, *told = await asyncio.gather(readiness(server.host), *asked)
                    assert ready < PROBE_SECONDS_MAX + SLACK_SECONDS
                    assert max(told) < BUSY_SECONDS_MAX + LATE_SECONDS_MAX + SLACK_SECONDS
                assert await lives(server.host)
                assert clients.refused >= CLIENTS
            await becomes(clients, 200)
            await goes_on(clients)


async def test_stops_while_postgres_hangs(cluster: Cluster, tmp_path: Path) -> None:
    """A registry that is told to end while Postgres is silent ends all the same, in order."""
    busy = {"REGISTRY_DATABASE__BUSY_SECONDS_MAX": str(BUSY_SECONDS_MAX)}
    with running_server(tmp_path, settings(cluster.create_database(), **busy)) as server, cluster.frozen():
        asked = asyncio.create_task(told_to_come_again(server.host))
        await asyncio.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        await asked
        await until(lambda: "State:\tZ" in Path(f"/proc/{server.pid}/status").read_text())


async def told_to_come_again(host: str) -> float:
    """How many seconds it takes until a client that asks for a manifest is told so."""
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=WAIT_SECONDS_MAX) as http:
        answer = await http.get(f"http://{host}/v2/team/app/manifests/latest")
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    return time.monotonic() - began


async def readiness(host: str) -> float:
    """How many seconds it takes until /readyz says that the database does not answer."""
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=WAIT_SECONDS_MAX) as http:
        answer = await http.get(f"http://{host}/readyz")
    assert answer.status_code == 503
    assert answer.json()["faults"].keys() == {"database"}
    return time.monotonic() - began


async def test_worker_dies_while_postgres_is_away(cluster: Cluster, tmp_path: Path) -> None:
    """A worker that dies then cannot be replaced at once; the others go on, and it is replaced as soon as it can be."""
    workers = {"REGISTRY_HTTP__WORKERS": "2"}
    with running_server(tmp_path, settings(cluster.create_database(), **workers)) as server:
        async with pushing(server.host, CLIENTS) as clients:
            killed, other = server.workers()
            clients.cut_off_allowed = True
            cluster.stop()
            os.kill(killed, signal.SIGKILL)
            await until(lambda: "is started again" in server.log.read_text())
            assert await lives(server.host)
            cluster.start()
            await goes_on(clients)
            await until(lambda: set(server.workers()) > {other})


async def test_more_clients_than_connections(cluster: Cluster, tmp_path: Path) -> None:
    """Clients wait for their turn: none is refused, and no more connections are open than were configured."""
    url = cluster.create_database()
    with running_server(tmp_path, settings(url)) as server:
        async with pushing(server.host, STORM) as clients:
            seen = [await connections(url, clients) for _ in range(20)]
            assert clients.refused == 0
    assert (
        max(seen) <= POOL_SIZE + 2
    )  # beside the pool, each periodic work (purging, describing) holds its lock


async def test_more_connections_than_postgres_takes(cluster: Cluster, tmp_path: Path) -> None:
    """Where Postgres takes fewer connections than were configured, clients are told to come again, and are served."""
    many = {"REGISTRY_DATABASE__POOL_SIZE": "30"}
    with running_server(tmp_path, settings(cluster.create_database(), **many)) as server:
        async with pushing(server.host, STORM) as clients:
            await until(lambda: clients.refused > 0)
            await goes_on(clients)


async def connections(url: str, clients: Clients) -> int:
    """How many others are connected to the database, looked at while the clients push."""
    await goes_on(clients)
    query = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return int(row[0])
