"""A disk that is full, and one that cannot be written to: clients are told, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TextIO

import httpx
import pytest

from tests.faults.client import Client, Refused, image
from tests.faults.crashing import REGISTRY, doomed_server
from tests.faults.disks import small_disk
from tests.faults.ledger import Ledger
from tests.server import PROJECT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

_DISK_MEGABYTES = 16
_PUSHES_MAX = 2000


@asynccontextmanager
async def client_of(server: str) -> AsyncIterator[Client]:
    """Give a client with an empty ledger."""
    async with httpx.AsyncClient(base_url=server, timeout=30, trust_env=False) as http:
        yield Client(http, Ledger())


async def push_app(client: Client, tag: str, size: int) -> None:
    """Push an image with one layer of `size` random bytes."""
    content, config = os.urandom(size), os.urandom(20)
    layer = await client.push_by_put("app", content)
    await client.push("app", config)
    await client.put("app", image(config, [(layer, size)]), tag)


async def push_until_refused(client: Client, size: int) -> Refused:
    """Push images until one is refused; why it was."""
    for number in range(_PUSHES_MAX):
        try:
            await push_app(client, f"size-{size}-{number}", size)
        except Refused as refused:
            return refused
    raise AssertionError("the disk did not fill")


def problems(data: Path) -> str:
    """What `registry check --deep` says where it finds problems."""
    command = [*REGISTRY, "check", "--deep", "--data", str(data)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


async def test_full_disk(tmp_path: Path) -> None:
    """Pushes to a full disk are answered with 507, pulls go on, and once there is room pushes go on too."""
    data = tmp_path / "disk"
    with small_disk(data, _DISK_MEGABYTES) as resize, doomed_server(data) as (server, _):
        async with client_of(server) as client:
            for size in (1_000_000, 50_000, 1_000, 10, 10, 10):
                refused = await push_until_refused(client, size)
                assert refused.status == 507, refused
                assert "no storage space left" in str(refused)
            assert await client.ledger.faults(client.http) == []
            assert problems(data) == ""
            resize(2 * _DISK_MEGABYTES)
            await push_app(client, "after", 1_000_000)
            assert await client.ledger.faults(client.http) == []
        assert problems(data) == ""


async def test_start_on_full_disk(tmp_path: Path) -> None:
    """A registry that was killed on a full disk starts on it again, with all that it acknowledged."""
    data = tmp_path / "disk"
    with small_disk(data, _DISK_MEGABYTES) as resize:
        with doomed_server(data) as (server, _):
            async with client_of(server) as client:
                for size in (1_000_000, 10):
                    await push_until_refused(client, size)
        with doomed_server(data) as (server, _):
            async with httpx.AsyncClient(base_url=server, timeout=30, trust_env=False) as http:
                assert await client.ledger.faults(http) == []
                resize(2 * _DISK_MEGABYTES)
                await push_app(Client(http, client.ledger), "after", 1_000_000)
                assert await client.ledger.faults(http) == []
        assert problems(data) == ""


async def fill_with_uploads(client: Client) -> list[str]:
    """Start uploads that nobody finishes until not even the smallest of them has room; those that hold some bytes."""
    uploads = []
    for size in (1_000_000, 50_000, 1_000, 1):
        for _ in range(_PUSHES_MAX):
            try:
                upload = await client.start("app")
                await client.ask(202, "PATCH", upload, content=os.urandom(size))
            except Refused as refused:
                assert refused.status == 507, refused
                break
            uploads.append(upload)
        else:
            raise AssertionError("the disk did not fill")
    return uploads


async def test_cancel_on_full_disk(tmp_path: Path) -> None:
    """On a disk that unfinished uploads have filled, one can be cancelled, and that makes room for a push."""
    data = tmp_path / "disk"
    with small_disk(data, _DISK_MEGABYTES), doomed_server(data) as (server, _):
        async with client_of(server) as client:
            await push_app(client, "before", 1000)
            largest, *_ = await fill_with_uploads(client)
            await client.ask(204, "DELETE", largest)
            await client.ask(404, "GET", largest)
            await push_app(client, "after", 200_000)
            assert await client.ledger.faults(client.http) == []
        assert problems(data) == ""


async def test_purge_on_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that unfinished uploads have filled, they are purged when they were idle, and pushes go on."""
    monkeypatch.setenv("REGISTRY_UPLOADS__IDLE_SECONDS_MAX", "8")
    monkeypatch.setenv("REGISTRY_UPLOADS__PURGE_INTERVAL_SECONDS", "0.5")
    data = tmp_path / "disk"
    with small_disk(data, _DISK_MEGABYTES), doomed_server(data) as (server, _):
        async with client_of(server) as client:
            uploads = await fill_with_uploads(client)
            deadline = time.monotonic() + 60
            while any((data / "uploads").iterdir()):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            await client.ask(404, "GET", uploads[0])
            await push_app(client, "after", 10_000_000)
            assert await client.ledger.faults(client.http) == []
        assert problems(data) == ""


@contextmanager
def failing(process: subprocess.Popen[str], fault: str) -> Iterator[None]:
    """Let system calls of a running server fail, as strace's option `inject` describes."""
    names = fault.partition(":")[0]
    command = ["strace", "--follow-forks", f"--attach={process.pid}", f"--trace={names}", f"--inject={fault}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as strace:
        try:
            assert strace.stderr is not None
            await_attached(strace.stderr)
            yield
        finally:
            strace.terminate()
            said = strace.communicate()[1]
    assert "(INJECTED)" in said, said


def await_attached(said: TextIO) -> None:
    """Wait until strace holds the process and all of its threads."""
    line = said.readline()
    assert re.search(r"Process \d+ attached", line), line


async def test_failed_fsync_of_a_blob(tmp_path: Path) -> None:
    """Bytes that could not be made durable are no blob, and are not believed when the same upload is tried again."""
    content = os.urandom(300_000)
    with doomed_server(tmp_path / "data") as (server, process):
        async with client_of(server) as client:
            await push_app(client, "before", 1000)
            upload = await client.start("app")
            await client.ask(202, "PATCH", upload, content=content)
            with failing(process, "fsync:error=EIO"):
                for _ in range(2):
                    with pytest.raises(Refused, match="^500"):
                        await client.push("app", content)
                with pytest.raises(Refused, match="^500"):
                    await client.finish("app", upload, content, len(content))
            with pytest.raises(Refused, match="^404"):
                await client.finish("app", upload, content, len(content))
            await client.push("app", content)
            await push_app(client, "after", 1000)
            assert await client.ledger.faults(client.http) == []
    assert problems(tmp_path / "data") == ""


async def test_failed_sync_of_the_database(tmp_path: Path) -> None:
    """Nothing is acknowledged while the database cannot make it durable; afterwards the same server goes on."""
    with doomed_server(tmp_path / "data") as (server, process):
        async with client_of(server) as client:
            await push_app(client, "before", 1000)
            layer, config = os.urandom(1000), os.urandom(20)
            await client.push("app", layer)
            digest = await client.push("app", layer)
            await client.push("app", config)
            manifest = image(config, [(digest, 1000)])
            with failing(process, "fdatasync,fsync:error=EIO"):
                for _ in range(2):
                    with pytest.raises(Refused, match="^500"):
                        await client.put("app", manifest, "latest")
                with pytest.raises(Refused, match="^500"):
                    await client.untag("app", "before")
            assert await client.ledger.faults(client.http) == []
            await client.put("app", manifest, "latest")
            await push_app(client, "after", 1000)
            assert await client.ledger.faults(client.http) == []
    with doomed_server(tmp_path / "data") as (server, _):
        async with httpx.AsyncClient(base_url=server, timeout=30, trust_env=False) as http:
            assert await client.ledger.faults(http) == []
    assert problems(tmp_path / "data") == ""
