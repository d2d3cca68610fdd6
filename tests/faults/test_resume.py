"""Uploads go on: after a restart of the server, at another worker, after a cut connection."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from registry.app import check
from registry.config import load
from tests.faults.client import Client
from tests.faults.crashing import doomed_server
from tests.faults.ledger import Ledger

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

_WAIT_SECONDS_MAX = 20
_CONNECTIONS_MAX = 200
_ESTABLISHED = "01"  # in /proc/net/tcp


@asynccontextmanager
async def client_of(server: str, ledger: Ledger) -> AsyncIterator[Client]:
    """Give a client that keeps one connection."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=server, timeout=30, limits=limits, trust_env=False) as http:
        yield Client(http, ledger)


async def problems(data: Path) -> list[str]:
    """What `registry check --deep` finds."""
    config = load(None, {"storage.directory": str(data)})
    report = await asyncio.to_thread(check, config, True, lambda *_: None)  # noqa: FBT003
    return report.problems


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Stop the server, and wait until it has stopped."""
    os.killpg(process.pid, number)
    assert process.wait(_WAIT_SECONDS_MAX) == (0 if number == signal.SIGTERM else -number)


def send_partly(server: str, method: str, path: str, content: bytes, sent: int) -> socket.socket:
    """Announce all of the content, and send the first `sent` bytes; the connection, still open."""
    address = urlsplit(server)
    connection = socket.create_connection((address.hostname, address.port), _WAIT_SECONDS_MAX)
    head = f"{method} {path} HTTP/1.1\r\nHost: registry\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content[:sent])
    return connection


async def arrived(data: Path, upload: str, size: int) -> None:
    """Wait until so many bytes of an upload lie in the store."""
    file = data / "uploads" / upload.rpartition("/")[2]
    deadline = time.monotonic() + _WAIT_SECONDS_MAX
    while not file.exists() or file.stat().st_size < size:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_restart_between_chunks(tmp_path: Path, number: signal.Signals) -> None:
    """After a restart an upload stands where it stood, and its hash is made again from the bytes."""
    content, ledger = os.urandom(2_500_000), Ledger()
    with doomed_server(tmp_path) as (server, process):
        async with client_of(server, ledger) as client:
            upload = await client.start("app")
            headers = {"content-range": "0-1499999"}
            await client.ask(202, "PATCH", upload, content=content[:1_500_000], headers=headers)
        end(process, number)
    with doomed_server(tmp_path) as (server, _):
        async with client_of(server, ledger) as client:
            assert await client.stands_at(upload) == 1_500_000
            await client.finish("app", upload, content, 1_500_000)
            assert await ledger.faults(client.http) == []
    assert await problems(tmp_path) == []


async def test_kill_within_a_chunk(tmp_path: Path) -> None:
    """What was not acknowledged when the server was killed is sent again, and nothing is in the blob twice."""
    content, ledger = os.urandom(6_000_000), Ledger()
    with doomed_server(tmp_path) as (server, process):
        async with client_of(server, ledger) as client:
            upload = await client.start("app")
            await client.ask(202, "PATCH", upload, content=content[:1_000_000])
            with send_partly(server, "PATCH", upload, content[1_000_000:], 4_000_000):
                await arrived(tmp_path, upload, 3_000_000)
                end(process, signal.SIGKILL)
    with doomed_server(tmp_path) as (server, _):
        async with client_of(server, ledger) as client:
            sent = await client.stands_at(upload)
            assert sent == 1_000_000
            headers = {"content-range": f"{sent}-{sent + 999_999}"}
            await client.ask(202, "PATCH", upload, content=content[sent : sent + 1_000_000], headers=headers)
            await client.finish("app", upload, content, sent + 1_000_000)
            assert await ledger.faults(client.http) == []
    assert await problems(tmp_path) == []


async def test_stop_within_a_chunk(tmp_path: Path) -> None:
    """SIGTERM lets a running request finish; the upload goes on at the next server."""
    content, ledger = os.urandom(6_000_000), Ledger()
    with doomed_server(tmp_path) as (server, process):
        async with client_of(server, ledger) as client:
            upload = await client.start("app")
        with send_partly(server, "PATCH", upload, content[:4_000_000], 2_500_000) as connection:
            await arrived(tmp_path, upload, 1_000_000)
            os.killpg(process.pid, signal.SIGTERM)
            await asyncio.sleep(0.2)
            connection.sendall(content[2_500_000:4_000_000])
            assert connection.recv(100).startswith(b"HTTP/1.1 202 ")
        assert process.wait(_WAIT_SECONDS_MAX) == 0
    with doomed_server(tmp_path) as (server, _):
        async with client_of(server, ledger) as client:
            assert await client.stands_at(upload) == 4_000_000
            await client.finish("app", upload, content, 4_000_000)
            assert await ledger.faults(client.http) == []
    assert await problems(tmp_path) == []


async def test_cut_connection(tmp_path: Path) -> None:
    """What arrived before a connection was cut counts: the client asks, and goes on from there."""
    content, ledger = os.urandom(3_000_000), Ledger()
    with doomed_server(tmp_path) as (server, _):
        async with client_of(server, ledger) as client:
            upload = await client.start("app")
            send_partly(server, "PATCH", upload, content, 1_234_567).close()
            deadline = time.monotonic() + _WAIT_SECONDS_MAX
            while (sent := await client.stands_at(upload)) == 0:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert sent <= 1_234_567
            headers = {"content-range": f"{sent}-1999999"}
            await client.ask(202, "PATCH", upload, content=content[sent:2_000_000], headers=headers)
            await client.finish("app", upload, content, 2_000_000)
            assert await ledger.faults(client.http) == []
    assert await problems(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_chunks_at_two_workers(tmp_path: Path, algorithm: str) -> None:
    """Each chunk goes to another worker than the one before, and the blob is whole, whichever hash is asked for."""
    size, chunk = 5_000_000, 1_000_000
    content, ledger = os.urandom(size), Ledger()
    with doomed_server(tmp_path, "--workers", "2") as (server, process):
        async with AsyncExitStack() as stack:
            clients = await one_for_each_worker(server, process.pid, ledger, stack)
            upload = await clients[0].start("app", algorithm)
            last = size - chunk
            for number, start in enumerate(range(0, last, chunk)):
                headers = {"content-range": f"{start}-{start + chunk - 1}"}
                piece = content[start : start + chunk]
                await clients[number % 2].ask(202, "PATCH", upload, content=piece, headers=headers)
                assert await clients[(number + 1) % 2].stands_at(upload) == start + chunk
            await clients[0].finish("app", upload, content, last, algorithm)
            for client in clients:
                assert await ledger.faults(client.http) == []
            await finish_with_another_algorithm(clients, os.urandom(size))
    assert await problems(tmp_path) == []


async def finish_with_another_algorithm(clients: list[Client], content: bytes) -> None:
    """Push a blob at two workers that is said to be sha512 only at its end."""
    upload = await clients[0].start("app")
    await clients[0].ask(202, "PATCH", upload, content=content[:1_000_000])
    await clients[1].ask(202, "PATCH", upload, content=content[1_000_000:])
    await clients[0].finish("app", upload, content, len(content), "sha512")
    assert await clients[0].ledger.faults(clients[1].http) == []


async def one_for_each_worker(
    server: str, supervisor: int, ledger: Ledger, stack: AsyncExitStack
) -> list[Client]:
    """Two clients, whose connections two different workers have taken."""
    found: dict[int, Client] = {}
    for _ in range(_CONNECTIONS_MAX):
        client = await stack.enter_async_context(client_of(server, ledger))
        async with client.http.stream("GET", "/v2/") as answer:
            stream = answer.extensions["network_stream"]
            await answer.aread()
        here, there = (stream.get_extra_info(end)[1] for end in ("client_addr", "server_addr"))
        found[worker_at(here, there, supervisor)] = client
        if len(found) == 2:
            return list(found.values())
    raise AssertionError("one worker took every connection")


def worker_at(client_port: int, server_port: int, supervisor: int) -> int:
    """The worker that holds the server's end of a connection, by the system's tables."""
    inode = inode_of(server_port, client_port)
    workers = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for worker in workers:
        files = Path(f"/proc/{worker}/fd").iterdir()
        if any(os.readlink(file) == f"socket:[{inode}]" for file in files):
            return int(worker)
    raise AssertionError(f"no worker of {workers} has the connection")


def inode_of(local: int, remote: int) -> str:
    """The socket of an established connection; others with one of these ports may be there, closed or open."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = f"{local:04X}", f"{remote:04X}"
    [inode] = [line[9] for line in lines if line[3] == _ESTABLISHED and (line[1][-4:], line[2][-4:]) == ends]
    return inode


def test_inode_of_the_right_connection() -> None:
    """Of several connections with one remote port, and of the two ends of one, the one asked for is found."""
    with ExitStack() as stack:
        one, two = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        client = stack.enter_context(socket.create_connection(one.getsockname()))
        accepted = stack.enter_context(one.accept()[0])
        port = client.getsockname()[1]
        same_port = stack.enter_context(socket.socket())
        for end_of_one in (client, same_port):
            end_of_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        same_port.bind(("127.0.0.2", port))
        same_port.connect(two.getsockname())
        found = inode_of(one.getsockname()[1], port)
        assert os.readlink(f"/proc/self/fd/{accepted.fileno()}") == f"socket:[{found}]"
