"""Blobs that the storage service gives instead of the registry."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from registry.protocol import Protocol
from tests.s3 import S3Server
from tests.support.content import Blob
from tests.support.http import Registry, Repository, ask_raw

pytestmark = pytest.mark.anyio

Start = Callable[..., Awaitable[Registry]]
BLOB = Blob(b"a layer" * 10_000)


@pytest.fixture
async def filled(start: Start, s3: S3Server) -> Callable[..., Awaitable[Repository]]:
    """Give a function that starts a registry on object storage, with a blob in it."""

    async def filled(**settings: Any) -> Repository:
        keys = {f"storage.objects.{key}": value for key, value in settings.items()}
        registry = await start({**s3.settings(), "database.url": "sqlite://", **keys})
        repo = registry.repository("team/app")
        await repo.upload(BLOB)
        return repo

    return filled


async def test_redirect(filled: Callable[..., Awaitable[Repository]]) -> None:
    """A blob is fetched by the link that the registry gives, whole and in parts; HEAD is answered here."""
    repo = await filled(redirect="always")
    answer = await repo.get(f"blobs/{BLOB.digest}", headers={"range": "bytes=3-9"})
    assert answer.status_code == 307
    assert answer.headers["docker-content-digest"] == BLOB.digest
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(answer.headers["location"])).content == BLOB.content
        part = await client.get(answer.headers["location"], headers={"range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, BLOB.content[3:10])
    head = await repo.head(f"blobs/{BLOB.digest}")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(BLOB.content)))
    unchanged = await repo.get(f"blobs/{BLOB.digest}", headers={"if-none-match": f'"{BLOB.digest}"'})
    assert unchanged.status_code == 304


async def test_no_link_without_the_right(filled: Callable[..., Awaitable[Repository]]) -> None:
    """Who may not see the blob through this repository gets no link to it."""
    repo = await filled(redirect="always")
    assert (await repo.registry.get(f"/v2/other/app/blobs/{BLOB.digest}")).status_code == 404


async def test_never(filled: Callable[..., Awaitable[Repository]]) -> None:
    """By default the registry gives the blob itself, whole and in parts."""
    repo = await filled()
    answer = await repo.get(f"blobs/{BLOB.digest}")
    assert (answer.status_code, answer.content) == (200, BLOB.content)
    part = await repo.get(f"blobs/{BLOB.digest}", headers={"range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, BLOB.content[3:10])
    beyond = await repo.get(f"blobs/{BLOB.digest}", headers={"range": "bytes=70000-"})
    assert beyond.status_code == 416


async def test_networks(filled: Callable[..., Awaitable[Repository]]) -> None:
    """Only clients of these networks get the link; a header does not make anybody one of them."""
    for networks, status in (("127.0.0.0/8", 307), ("10.0.0.0/8", 200)):
        repo = await filled(redirect="networks", redirect_networks=[networks])
        path = f"/v2/{repo.name}/blobs/{BLOB.digest}"
        headers = [(b"x-forwarded-for", b"10.0.0.1")]
        assert (await ask_raw(repo.registry.app, "GET", path, headers=headers)).status_code == status


@asynccontextmanager
async def dual_stack(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client over IPv4 of a socket that listens for IPv6 too, as that of `http.host: "::"`, here on loopback only."""
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::ffff:127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve([listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            await serving


@pytest.mark.parametrize(
    ("proxies", "networks", "told", "status"),
    [
        ([], "127.0.0.0/8", "10.0.0.1", 307),
        ([], "10.0.0.0/8", "10.0.0.1", 200),
        (["127.0.0.1"], "10.0.0.0/8", "10.0.0.1", 307),
        (["127.0.0.1"], "10.0.0.0/8", "::ffff:10.0.0.1", 307),
        (["127.0.0.1"], "10.0.0.0/8", "11.0.0.1", 200),
    ],
)
async def test_dual_stack(
    start: Start, s3: S3Server, proxies: list[str], networks: str, told: str, status: int
) -> None:
    """An IPv4 client or proxy of a socket for both kinds of addresses is in the networks that it is in."""
    settings = {
        **s3.settings(),
        "database.url": "sqlite://",
        "storage.objects.redirect": "networks",
        "storage.objects.redirect_networks": [networks],
        "http.trusted_proxies": proxies,
    }
    repo = (await start(settings)).repository("team/app")
    await repo.upload(BLOB)
    async with dual_stack(repo.registry.app) as client:
        path = f"/v2/{repo.name}/blobs/{BLOB.digest}"
        assert (await client.get(path, headers={"x-forwarded-for": told})).status_code == status


async def test_blob_of_several_requests(filled: Callable[..., Awaitable[Repository]]) -> None:
    """A blob that came in several requests is in several objects, so the registry gives it itself."""
    repo = await filled(redirect="always")
    blob = Blob(b"one two")
    location = await repo.start()
    for piece in (b"one ", b"two"):
        location = (await repo.patch(location, content=piece)).headers["location"]
    assert (await repo.put(f"{location}?digest={blob.digest}")).status_code == 201
    answer = await repo.get(f"blobs/{blob.digest}")
    assert (answer.status_code, answer.content) == (200, blob.content)


async def test_other_endpoint(filled: Callable[..., Awaitable[Repository]], s3: S3Server) -> None:
    """Clients may reach the service under another address than the registry does."""
    elsewhere = s3.endpoint.replace("127.0.0.1", "localhost")
    repo = await filled(redirect="always", redirect_endpoint=elsewhere)
    location = (await repo.get(f"blobs/{BLOB.digest}")).headers["location"]
    assert location.startswith(elsewhere)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(location)).content == BLOB.content
