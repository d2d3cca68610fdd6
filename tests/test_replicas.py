"""Several registries on one Postgres and one bucket: any request may reach any of them, and any of them may end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import socket
import subprocess
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
import structlog

from registry.app import build_store, check
from registry.config import load
from registry.db.database import open_database
from registry.oci.digest import Digest
from registry.storage.objects import places, service
from registry.storage.objects.layout import published_key, upload_of
from registry.storage.objects.multipart import _client, _listed
from registry.storage.objects.parts import PARTS_MAX, parts_for
from registry.storage.objects.places import PLACES_MAX
from registry.storage.objects.service import PART_BYTES
from registry.storage.objects.store import ObjectStore
from tests.faults.client import Client, image
from tests.faults.crashing import REGISTRY, doomed_server
from tests.faults.ledger import Ledger
from tests.faults.pushers import pushing
from tests.postgres import FORGETFUL, running_cluster
from tests.s3_faults import CUTS_THE_ANSWER, DENIALS, RETRIED, faulty
from tests.support.content import Blob
from tests.support.http import Repository, refusal, running
from tests.support.tables import postgres_tables_url, postgres_with_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tests.s3 import S3Server

pytestmark = pytest.mark.anyio

CHUNK: Final = 1_000_000
_WAIT_SECONDS_MAX: Final = 30

Settings = dict[str, object]

__all__ = ["postgres_tables_url", "postgres_with_tables"]


@pytest.fixture
def settings(s3: S3Server, postgres_tables_url: str) -> Settings:
    """Give what all replicas are told."""
    return {**s3.settings(), "database.url": postgres_tables_url, "log.level": "warning"}


@pytest.fixture
async def replicas(settings: Settings) -> AsyncIterator[list[Repository]]:
    """Give the same repository at three replicas."""
    async with AsyncExitStack() as stack:
        registries = [await stack.enter_async_context(running(settings)) for _ in range(3)]
        yield [registry.repository("team/app") for registry in registries]
    assert await problems(settings) == []


async def problems(settings: Mapping[str, object]) -> list[str]:
    """What `registry check --deep` finds."""
    report = await asyncio.to_thread(check, load(None, settings), True, lambda *_: None)  # noqa: FBT003
    return report.problems


async def read(repository: Repository, digest: str) -> bytes:
    """A blob, as this replica gives it."""
    answer = await repository.get(f"blobs/{digest}")
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_chunks_go_round(replicas: list[Repository], algorithm: str) -> None:
    """Each chunk goes to another replica than the one before, and the blob is whole, whichever hash is asked for."""
    blob = Blob(os.urandom(5 * CHUNK + 5), algorithm=algorithm)
    location = await replicas[0].start()
    for number, start in enumerate(range(0, len(blob.content), CHUNK), 1):
        piece = blob.content[start : start + CHUNK]
        headers = {"content-range": f"{start}-{start + len(piece) - 1}"}
        answer = await replicas[number % 3].patch(location, content=piece, headers=headers)
        assert answer.status_code == 202, answer.text
        stands = await replicas[(number + 1) % 3].get(location)
        assert stands.headers["range"] == f"0-{start + len(piece) - 1}"
    assert (await replicas[2].put(f"{location}?digest={blob.digest}")).status_code == 201
    for replica in replicas:
        assert await read(replica, blob.digest) == blob.content


@pytest.mark.parametrize(
    ("takers", "finisher", "read_back"),
    [
        pytest.param([0, 1] * 8, 0, 16, id="in turn"),
        pytest.param([0, 1] * 8, 2, 16, id="in turn, finished elsewhere"),
        pytest.param([0] * 12 + [1] * 4, 0, 16, id="the last ones elsewhere"),
        pytest.param([0] * 16, 0, 0, id="all at one"),
    ],
)
async def test_what_is_read_back(
    replicas: list[Repository],
    monkeypatch: pytest.MonkeyPatch,
    takers: list[int],
    finisher: int,
    read_back: int,
) -> None:
    """However chunks go round, no byte is read back from the bucket twice, and none where one replica took them all.

    A wrong digest is found out nevertheless, and loses nothing.
    """
    fetched: list[int] = []
    get_range = service.Service.get_range

    async def counting(self: service.Service, key: str, offset: int, length: int) -> memoryview:
        fetched.append(length)
        return await get_range(self, key, offset, length)

    size = 100_000
    content = os.urandom(size * len(takers))
    location = await replicas[0].start()
    with monkeypatch.context() as patch:
        patch.setattr(service.Service, "get_range", counting)
        for number, taker in enumerate(takers):
            headers = {"content-range": f"{number * size}-{(number + 1) * size - 1}"}
            piece = content[number * size : (number + 1) * size]
            assert (await replicas[taker].patch(location, content=piece, headers=headers)).status_code == 202
        assert fetched == []
        wrong = await replicas[finisher].put(f"{location}?digest={Digest.of(content[size:])}")
        refusal(wrong, 400, "DIGEST_INVALID")
        assert sum(fetched) == read_back * size
    digest = Digest.of(content)
    assert (await replicas[finisher].put(f"{location}?digest={digest}")).status_code == 201
    assert await read(replicas[1], digest) == content


async def test_two_write_at_once(replicas: list[Repository]) -> None:
    """Of two replicas that write to one upload at the same moment one wins; the other's client hears where it stands."""
    location = await replicas[0].start()
    both_began = asyncio.Barrier(2)

    async def body(content: bytes) -> AsyncIterator[bytes]:
        yield content[:2]
        await both_began.wait()
        yield content[2:]

    contents = [b"one of two", b"the other one"]
    answers = await asyncio.gather(
        *(
            replica.patch(location, content=body(content))
            for replica, content in zip(replicas[:2], contents, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [202, 416]
    [won] = [content for content, answer in zip(contents, answers, strict=True) if answer.status_code == 202]
    [lost] = [answer for answer in answers if answer.status_code == 416]
    assert lost.headers["range"] == f"0-{len(won) - 1}"
    digest = Blob(won).digest
    assert (await replicas[2].put(f"{location}?digest={digest}")).status_code == 201
    assert await read(replicas[0], digest) == won


async def test_finished_at_every_replica_at_once(replicas: list[Repository]) -> None:
    """A client that asks every replica to finish an upload has the blob, and no replica claims what is not so."""
    for _ in range(5):
        blob = Blob(os.urandom(1000))
        location = await replicas[0].start()
        await replicas[1].patch(location, content=blob.content[:500])
        answers = await asyncio.gather(
            *(
                replica.put(f"{location}?digest={blob.digest}", content=blob.content[500:])
                for replica in replicas
            )
        )
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(201) == 1
        assert set(statuses) <= {201, 404, 416}
        assert await read(replicas[2], blob.digest) == blob.content


async def test_cancelled_while_it_is_finished(replicas: list[Repository]) -> None:
    """An upload is either finished or cancelled: who cancels it elsewhere takes no bytes from under a blob."""
    for _ in range(10):
        blob = Blob(os.urandom(1000))
        location = await replicas[0].start()
        await replicas[0].patch(location, content=blob.content)
        finished, cancelled = await asyncio.gather(
            replicas[1].put(f"{location}?digest={blob.digest}"), replicas[2].delete(location)
        )
        assert (finished.status_code, cancelled.status_code) in {
            (201, 404),
            (201, 416),
            (404, 204),
            (416, 204),
        }
        if finished.status_code == 201:
            assert await read(replicas[2], blob.digest) == blob.content
        else:
            refusal(await replicas[2].get(f"blobs/{blob.digest}"), 404, "BLOB_UNKNOWN")


async def test_cancelled_while_it_is_written_to(replicas: list[Repository], settings: Settings) -> None:
    """Who writes to an upload that is cancelled elsewhere hears that it is gone, and leaves nothing in the bucket."""
    location = await replicas[0].start()
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(2 * CHUNK)
        began.set()
        await cancelled.wait()
        yield b"and more"

    request = asyncio.create_task(replicas[0].patch(location, content=body()))
    await began.wait()
    assert (await replicas[1].delete(location)).status_code == 204
    cancelled.set()
    refusal(await request, 404, "BLOB_UPLOAD_UNKNOWN")
    store = build_store(load(None, settings))
    assert isinstance(store, ObjectStore)
    assert [entry["path"] async for entry in store.service.list("segments")] == []


async def test_what_is_being_published_takes_no_more(
    replicas: list[Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that dies while it publishes leaves an upload that can be finished as it was, and not gone on with."""
    blob = Blob(os.urandom(1000))
    location = await replicas[0].start()
    await replicas[0].patch(location, content=blob.content)

    async def die(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "publish", die)
        assert (await replicas[0].put(f"{location}?digest={blob.digest}")).status_code == 500
    assert (await replicas[1].patch(location, content=b"more")).status_code == 416
    assert (await replicas[1].delete(location)).status_code == 416
    assert (await replicas[2].put(f"{location}?digest={blob.digest}")).status_code == 201
    assert await read(replicas[1], blob.digest) == blob.content


async def test_what_is_being_published_takes_no_more_after_a_crash(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database crashes while a replica publishes, and knows of it all the same: nobody else goes on with the upload."""
    publishing, crashed = asyncio.Event(), asyncio.Event()
    publish = ObjectStore.publish

    async def publish_slowly(*arguments: Any) -> None:
        publishing.set()
        await crashed.wait()
        await publish(*arguments)

    blob, half = Blob(os.urandom(1000)), 500
    with running_cluster(FORGETFUL) as cluster:
        settings = {**s3.settings(), "database.url": cluster.create_database(), "log.level": "warning"}
        async with running(settings) as first, running(settings) as second:
            location = await first.repository("team/app").start()
            await first.repository("team/app").patch(location, content=blob.content[:half])
            await first.repository("team/app").upload(Blob(b"this makes what came before it durable"))
            monkeypatch.setattr(ObjectStore, "publish", publish_slowly)
            path = f"{location}?digest={blob.digest}"
            finishing = asyncio.create_task(
                first.repository("team/app").put(path, content=blob.content[half:])
            )
            await publishing.wait()
            await asyncio.to_thread(cluster.stop)
            await asyncio.to_thread(cluster.start)
            refused = await second.repository("team/app").patch(location, content=b"more")
            crashed.set()
            assert (refused.status_code, (await finishing).status_code) == (416, 201)
            assert await read(second.repository("team/app"), blob.digest) == blob.content


async def test_service_that_fails(settings: Settings, s3: S3Server) -> None:
    """While the service fails, is too busy, cuts connections and loses answers, clients push and pull as ever.

    Several push the same blobs at two replicas; what is left over is swept, and nothing that is named goes with it.
    """
    blobs = [Blob(os.urandom(size)) for size in (0, 10, CHUNK, 2 * PART_BYTES + 5)]
    async with faulty(s3.endpoint, 0) as proxy, AsyncExitStack() as stack:
        shaky = {**settings, "storage.objects.endpoint": proxy.endpoint}
        registries = [await stack.enter_async_context(running(shaky, timeout=120)) for _ in range(2)]
        proxy.share = 0.15
        repositories = [
            registry.repository(f"team/app{number}") for number in range(3) for registry in registries
        ]
        await asyncio.gather(*(push_and_pull(repository, blobs) for repository in repositories))
        proxy.share = 0
        assert all(proxy.done.values()), proxy.done
        store = registries[0].app.registry.store
        await store.sweep(-1)
        for repository in repositories:
            for blob in blobs:
                assert await read(repository, blob.digest) == blob.content
        async for upload in store.uploads():
            await store.discard(upload.upload)
    assert multipart_uploads(settings) == 0
    assert await problems(settings) == []
    fresh = build_store(load(None, settings))
    assert isinstance(fresh, ObjectStore)
    indexes = [await fresh._indexes.get(Digest(blob.digest)) for blob in blobs]
    named = {key for index in indexes for key in index.keys}
    published = {published_key(upload_of(key)) for key in named}
    assert {entry["path"] async for entry in fresh.service.list("segments")} == named | published


async def test_readiness(settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica whose storage does not answer says so, and clients are told to come back; then all goes on by itself."""
    monkeypatch.setattr(service, "_RETRIES_MAX", 0)
    blob, other = Blob(b"content"), Blob(b"of another")
    async with (
        faulty(s3.endpoint, 0) as proxy,
        running({**settings, "storage.objects.endpoint": proxy.endpoint}) as registry,
    ):
        repository = registry.repository("team/app")
        await repository.upload(blob)
        proxy.share = 1
        ready = await registry.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["faults"] == {
            "storage": "Unavailable: the storage does not answer at the moment; try again"
        }
        push = f"blobs/uploads/?digest={other.digest}"
        for answer in (
            await repository.get(f"blobs/{blob.digest}"),
            await repository.post(push, content=other.content),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await registry.get("/healthz")).status_code == 200
        assert (await repository.head(f"blobs/{blob.digest}")).status_code == 200
        proxy.share = 0
        assert (await registry.get("/readyz")).status_code == 200
        assert await read(repository, blob.digest) == blob.content
        assert (await repository.upload(other)).status_code == 201


@pytest.mark.parametrize("denial", DENIALS)
async def test_service_that_refuses_us(settings: Settings, s3: S3Server, denial: str) -> None:
    """Where the service refuses the registry, clients are told to come back, and the log says why; HEAD does not ask it."""
    blob, other = Blob(os.urandom(3 * CHUNK)), Blob(b"of another")
    async with (
        faulty(s3.endpoint, 0, (denial,)) as proxy,
        running({**settings, "storage.objects.endpoint": proxy.endpoint}) as registry,
    ):
        repository = registry.repository("team/app")
        await repository.upload(blob)
        location = await repository.start()
        proxy.share = 1
        for ask in (
            lambda: repository.get(f"blobs/{blob.digest}"),
            lambda: repository.post(f"blobs/uploads/?digest={other.digest}", content=other.content),
            lambda: repository.patch(location, content=other.content),
        ):
            with structlog.testing.capture_logs() as logs:
                answer = await ask()
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            causes = [line["error"] for line in logs if line["event"] == "object storage fails"]
            assert causes
            assert all(re.search("403 Forbidden|401 Unauthorized", cause) for cause in causes)
        assert (await repository.head(f"blobs/{blob.digest}")).status_code == 200
        ready = await registry.get("/readyz")
        assert (ready.status_code, list(ready.json()["faults"])) == (503, ["storage"])
        proxy.share = 0
        assert await read(repository, blob.digest) == blob.content
        assert (await repository.upload(other)).status_code == 201


@pytest.mark.parametrize("kinds", [RETRIED, (CUTS_THE_ANSWER,)])
@pytest.mark.parametrize("size", [10, 3 * CHUNK])
async def test_pull_while_the_service_fails(
    settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch, size: int, kinds: tuple[str, ...]
) -> None:
    """Who asks for a blob that the service does not give is told to come back, instead of being cut off."""
    monkeypatch.setattr(service, "_RETRIES_MAX", 0)
    async with (
        faulty(s3.endpoint, 0, kinds) as proxy,
        running({**settings, "storage.objects.endpoint": proxy.endpoint}) as registry,
    ):
        repository = registry.repository("team/app")
        blob = Blob(os.urandom(size))
        await repository.upload(blob)
        proxy.share = 1
        answer = await repository.get(f"blobs/{blob.digest}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        proxy.share = 0
        assert await read(repository, blob.digest) == blob.content


async def test_pull_whose_answers_are_cut(settings: Settings, s3: S3Server) -> None:
    """A pull is whole though answers of the service break off within their bytes, some of them again."""
    async with (
        faulty(s3.endpoint, 0, (CUTS_THE_ANSWER,)) as proxy,
        running({**settings, "storage.objects.endpoint": proxy.endpoint}, timeout=120) as registry,
    ):
        repository = registry.repository("team/app")
        blob = Blob(os.urandom(3 * PART_BYTES + 5))
        await repository.upload(blob)
        proxy.share = 0.3
        while proxy.done[CUTS_THE_ANSWER] < 5:
            assert await read(repository, blob.digest) == blob.content


async def push_and_pull(repository: Repository, blobs: list[Blob]) -> None:
    """Push each blob by POST, PATCH and PUT, as clients do, and pull it."""
    for blob in blobs:
        location = await repository.start()
        assert (await repository.patch(location, content=blob.content)).status_code == 202
        answer = await repository.put(f"{location}?digest={blob.digest}")
        assert answer.status_code == 201, answer.text
        assert await read(repository, blob.digest) == blob.content


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give the settings, which registries that are started as processes find in their environment."""
    for key, value in settings.items():
        monkeypatch.setenv(f"REGISTRY_{key.upper().replace('.', '__')}", str(value))
    return settings


async def test_killed_within_a_chunk(environment: Settings, tmp_path: Path) -> None:
    """A replica is killed in the middle of a chunk; another goes on from the last acknowledged byte, and all is cleaned."""
    blob = Blob(os.urandom(8 * PART_BYTES))
    with doomed_server(tmp_path) as (first, process), doomed_server(tmp_path) as (second, _):
        async with httpx.AsyncClient(base_url=second, timeout=60, trust_env=False) as client:
            location = (await client.post("/v2/app/blobs/uploads/")).headers["location"]
            await client.patch(location, content=blob.content[:CHUNK])
            with send_partly(first, location, blob.content[CHUNK:], 4 * PART_BYTES):
                await until(lambda: multipart_uploads(environment) == 1)
                os.killpg(process.pid, signal.SIGKILL)
            assert (await client.get(location)).headers["range"] == f"0-{CHUNK - 1}"
            headers = {"content-range": f"{CHUNK}-{len(blob.content) - 1}"}
            path = f"{location}?digest={blob.digest}"
            assert (await client.put(path, content=blob.content[CHUNK:], headers=headers)).status_code == 201
            assert (await client.get(f"/v2/app/blobs/{blob.digest}")).content == blob.content
    assert await problems(environment) == []
    with closing(build_store(load(None, environment))) as store:
        await store.open()
        assert [upload async for upload in store.uploads()] == []
        assert await store.sweep(-1) == 1
    assert multipart_uploads(environment) == 0


def send_partly(server: str, path: str, content: bytes, sent: int) -> socket.socket:
    """Announce all of the content, and send the first `sent` bytes; the connection, still open."""
    address = urlsplit(server)
    connection = socket.create_connection((address.hostname, address.port), _WAIT_SECONDS_MAX)
    head = f"PATCH {path} HTTP/1.1\r\nHost: registry\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content[:sent])
    return connection


async def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + _WAIT_SECONDS_MAX
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def multipart_uploads(settings: Mapping[str, object]) -> int:
    """How many multipart uploads the service knows below the registry's prefix."""
    store = build_store(load(None, settings))
    assert isinstance(store, ObjectStore)
    return len(list(_listed(_client(store.service.bucket), store.service.bucket)))


async def test_database_is_lost(
    environment: Settings, postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Replicas push, move tags and delete at once, one is killed, the database is dropped: a rebuild has all they promised.

    In one repository they push to the same tag, which leads where it led before, whichever came last.
    """
    url = postgres_url()
    monkeypatch.setenv("REGISTRY_DATABASE__URL", url)
    ledgers = [Ledger() for _ in range(3)]
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(doomed_server(tmp_path)) for _ in range(3)]
        for number, (server, _) in enumerate(servers):
            await stack.enter_async_context(pushing(server, ledgers[number], 7, f"replica{number}-"))
        for _ in range(3):
            await asyncio.gather(*(push_to_one_tag(server) for server, _ in servers[1:]))
            await asyncio.sleep(1)
        os.killpg(servers[0][1].pid, signal.SIGKILL)
        await asyncio.gather(*(push_to_one_tag(server) for server, _ in servers[1:]))
        latest = await shared_tag(servers[1][0])
    with closing(open_database(url)) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    command = [*REGISTRY, "rebuild", "--data", str(tmp_path)]
    rebuilt = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    with doomed_server(tmp_path) as (server, _):
        async with httpx.AsyncClient(base_url=server, timeout=60, trust_env=False) as http:
            for ledger in ledgers:
                assert len(ledger.of_manifests()) > 0
                assert await ledger.of_manifests().faults(http) == []
        assert await shared_tag(server) == latest
    assert await problems({**environment, "database.url": url}) == []


async def push_to_one_tag(server: str) -> None:
    """Push images to the same tag of the same repository as others do."""
    async with httpx.AsyncClient(base_url=server, timeout=60, trust_env=False) as http:
        client = Client(http, Ledger())
        for _ in range(5):
            config, layer = os.urandom(20), os.urandom(100)
            layers = [(await client.push("shared", layer), len(layer))]
            await client.push("shared", config)
            await client.put("shared", image(config, layers), "latest")


async def shared_tag(server: str) -> str:
    """Where that tag leads."""
    async with httpx.AsyncClient(base_url=server, timeout=60, trust_env=False) as http:
        answer = await http.head("/v2/shared/manifests/latest", headers={"accept": "*/*"})
        return answer.headers["docker-content-digest"]


async def test_memory_is_bounded(environment: Settings, tmp_path: Path) -> None:
    """A large layer, however it comes and goes, takes no more memory than the parts that are under way."""
    size, pieces = 256 * 1024 * 1024, 256
    piece = os.urandom(size // pieces)
    digest = hashlib.sha256()
    for _ in range(pieces):
        digest.update(piece)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield piece

    with doomed_server(tmp_path) as (server, process):
        async with httpx.AsyncClient(base_url=server, timeout=120, trust_env=False) as client:
            small = Blob(os.urandom(2 * PART_BYTES))
            await client.post(f"/v2/app/blobs/uploads/?digest={small.digest}", content=small.content)
            await client.get(f"/v2/app/blobs/{small.digest}")
            before = peak_bytes(process.pid)
            path = f"/v2/app/blobs/uploads/?digest=sha256:{digest.hexdigest()}"
            assert (await client.post(path, content=body())).status_code == 201
            pushed = peak_bytes(process.pid)
            async with client.stream("GET", f"/v2/app/blobs/sha256:{digest.hexdigest()}") as answer:
                assert sum([len(part) async for part in answer.aiter_raw()]) == size
            pulled = peak_bytes(process.pid)
    bound = PARTS_MAX.held_bytes_max
    assert pushed - before < 2 * bound, f"{before} before, {pushed} pushed, {pulled} pulled"
    assert pulled - before < 2 * bound, f"{before} before, {pushed} pushed, {pulled} pulled"
    assert environment


async def test_memory_is_shared(environment: Settings, tmp_path: Path) -> None:
    """Many pushes at the same time take smaller parts than a few: together no more than docs/operating.md tells."""
    pushes, pieces, piece = 24, 20, bytes(1024 * 1024)
    path = f"/v2/app/blobs/uploads/?digest=sha256:{hashlib.sha256(piece * pieces).hexdigest()}"

    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield piece

    with doomed_server(tmp_path) as (server, process):
        async with httpx.AsyncClient(base_url=server, timeout=300, trust_env=False) as client:
            small = Blob(os.urandom(2 * PART_BYTES))
            await client.post(f"/v2/app/blobs/uploads/?digest={small.digest}", content=small.content)
            before = peak_bytes(process.pid)
            answers = await asyncio.gather(*(client.post(path, content=body()) for _ in range(pushes)))
            assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
            taken = peak_bytes(process.pid) - before
    parts = sum(parts_for(number).held_bytes_max for number in range(1, pushes + 1))
    assert taken < parts + 32 * 1024 * 1024, f"{taken} taken, {parts} in parts"
    assert taken < pushes * PARTS_MAX.held_bytes_max / 2
    assert environment


async def test_memory_of_stalled_pushes(environment: Settings, tmp_path: Path) -> None:
    """A hundred clients that stop in the middle of a layer take no more memory than docs/operating.md tells."""
    stalled, piece = 100, bytes(1024 * 1024)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(13):
            yield piece
        await asyncio.sleep(600)

    with doomed_server(tmp_path) as (server, process):
        async with httpx.AsyncClient(
            base_url=server, limits=httpx.Limits(), timeout=60, trust_env=False
        ) as client:
            small = Blob(os.urandom(2 * PART_BYTES))
            await client.post(f"/v2/app/blobs/uploads/?digest={small.digest}", content=small.content)
            before = peak_bytes(process.pid)
            path = f"/v2/app/blobs/uploads/?digest={small.digest}"
            tasks = [asyncio.create_task(client.post(path, content=body())) for _ in range(stalled)]
            await asyncio.wait(tasks, timeout=10)
            assert (await client.get("/readyz")).status_code == 200
            taken = peak_bytes(process.pid) - before
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    parts = sum(parts_for(number).held_bytes_max for number in range(1, PLACES_MAX + 1))
    waiting = (stalled - PLACES_MAX) * 1024 * 1024 // 2
    assert taken < parts + waiting, f"{taken} taken, {parts} in parts"
    assert environment


async def test_more_pushes_than_places(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others take all places for too long, a push is told 503 with Retry-After; small ones and ends need none."""
    monkeypatch.setattr(places, "PLACES_MAX", 1)
    monkeypatch.setattr(places, "_WAIT_SECONDS_MAX", 0.2)
    begun, go_on = asyncio.Event(), asyncio.Event()
    large, small = Blob(bytes(2 * 1024 * 1024)), Blob(b"small")

    async def slow() -> AsyncIterator[bytes]:
        yield large.content
        begun.set()
        await go_on.wait()

    async with running(settings) as registry:
        repo = registry.repository("app")
        location = await repo.start()
        assert (await repo.patch(location, content=small.content)).status_code == 202
        pushing = asyncio.create_task(repo.post(f"blobs/uploads/?digest={large.digest}", content=slow()))
        await begun.wait()
        await repo.upload(small)
        refused = await repo.post(f"blobs/uploads/?digest={large.digest}", content=large.content)
        assert "too many uploads" in refusal(refused, 503, "UNAVAILABLE")["message"]
        assert refused.headers["retry-after"] == "2"
        assert (await repo.put(f"{location}?digest={small.digest}")).status_code == 201
        go_on.set()
        assert (await pushing).status_code == 201
        await repo.upload(large)


async def test_trickle_loses_its_place(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is never silent for long, but sends next to nothing, is told 408 and gives its place to the next one."""
    monkeypatch.setattr(places, "PLACES_MAX", 1)
    begun = asyncio.Event()
    large = Blob(bytes(2 * 1024 * 1024))

    async def trickle() -> AsyncIterator[bytes]:
        yield large.content
        begun.set()
        for _ in range(50):
            await asyncio.sleep(0.1)
            yield b"x"

    async with running({**settings, "http.body_idle_seconds_max": 1}) as registry:
        repo = registry.repository("app")
        location = await repo.start()
        trickling = asyncio.create_task(repo.patch(location, content=trickle()))
        await begun.wait()
        await repo.upload(large)
        refused = await trickling
        assert "less than 256 KiB" in refusal(refused, 408, "BLOB_UPLOAD_INVALID")["message"]
        stands = await repo.get(location)
        assert int(stands.headers["range"].removeprefix("0-")) >= len(large.content) - 1


def peak_bytes(process: int) -> int:
    """The most memory that a process has had at any moment."""
    line = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert line
    return int(line[1]) * 1024
