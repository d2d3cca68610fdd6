"""Backup and restore through the command line, beside servers at work, and from one kind of registry to another."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from registry.app import build_store
from registry.config import load
from tests.support import content
from tests.support.http import Registry, Repository, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.s3 import S3Server

pytestmark = pytest.mark.anyio

PROJECT: Final = Path(__file__).parents[1]
NO_DATABASE: Final = "postgresql://bob:s3cret@127.0.0.1:1/none"  # nothing listens on port 1
_SECONDS_MAX: Final = 120

Settings = dict[str, object]


async def command(settings: Mapping[str, object], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `registry` with these settings (by dotted key) to its end."""
    given = {f"REGISTRY_{key.replace('.', '__').upper()}": str(value) for key, value in settings.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "registry", *arguments],
        cwd=PROJECT,
        env=kept | given,
        capture_output=True,
        timeout=_SECONDS_MAX,
        check=False,
    )


async def said(settings: Mapping[str, object], *arguments: str, status: int = 0) -> list[str]:
    """The lines that a command prints, which ends with this status."""
    run = await command(settings, *arguments)
    assert run.returncode == status, run.stdout + run.stderr
    return (run.stdout if status in {0, 1} else run.stderr).decode().splitlines()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Give what a registry is told that has its blobs in a folder: once with SQLite, once with Postgres."""
    return {"storage.directory": tmp_path / "data", "database.url": database_url}


@pytest.fixture
def others(tmp_path: Path) -> Settings:
    """Give what another registry is told, on SQLite, with nothing in it."""
    return {"storage.directory": tmp_path / "other"}


def copy_blobs(source: Settings, target: Settings) -> None:
    """What an operator does beside."""
    shutil.copytree(
        Path(str(source["storage.directory"])) / "blobs", Path(str(target["storage.directory"])) / "blobs"
    )


async def fill(registry: Registry) -> None:
    """Images, an index, a referrer, in two repositories."""
    app, copy = registry.repository("team/app"), registry.repository("team/copy")
    image = content.image("app")
    await app.push(image, "v1", "latest")
    await app.push(content.index([image]), "index")
    await app.push(content.artifact("sbom", subject=image))
    await copy.push(content.image("copy", ["base"]), "v1")


async def served(registry: Registry) -> dict[str, object]:
    """All that a client can ask for, by its path."""
    found: dict[str, object] = {}
    for name in (await registry.get("/v2/_catalog")).json()["repositories"]:
        repository = registry.repository(name)
        for tag in await repository.tags():
            await look(repository, f"manifests/{tag}", found)
    return found


async def look(repository: Repository, path: str, found: dict[str, object]) -> None:
    """Note what is there, and all that it names."""
    answer = await repository.get(path)
    assert answer.status_code == 200, (path, answer.text)
    found[f"{repository.name}/{path}"] = answer.content
    if not path.startswith("manifests/"):
        return
    document = answer.json()
    digest = answer.headers["docker-content-digest"]
    referrers = (await repository.get(f"referrers/{digest}")).json()["manifests"]
    found[f"{repository.name}/referrers/{digest}"] = referrers
    for blob in [*document.get("layers", []), *filter(None, [document.get("config")])]:
        await look(repository, f"blobs/{blob['digest']}", found)
    for manifest in [*document.get("manifests", []), *referrers]:
        await look(repository, f"manifests/{manifest['digest']}", found)


# From one registry to another


async def test_to_another_registry(settings: Settings, others: Settings, tmp_path: Path) -> None:
    """A registry that is restored elsewhere serves what the first one did when it was backed up, byte for byte."""
    file = str(tmp_path / "backup")
    async with running(settings) as registry:
        await fill(registry)
        was = await served(registry)
        assert await said(settings, "backup", file) == [
            "backed up 2 repositories, 4 manifests, 4 tags, 6 blobs, 45 bytes"
        ]
        await registry.repository("team/app").push(content.image("later"), "later")
    copy_blobs(settings, others)
    line = (await said(others, "restore", "--deep", file))[-1]
    assert line.startswith("restored 2 repositories, 4 manifests, 4 tags, ")
    assert line.endswith(": no problems")
    assert (await said(others, "check", "--deep"))[-1].endswith(": no problems")
    async with running(others) as registry:
        assert await served(registry) == was
        await registry.repository("team/app").push(content.image("later"), "later")


async def test_from_sqlite_to_postgres(
    others: Settings, postgres_url: Callable[[], str], tmp_path: Path
) -> None:
    """A registry moves from SQLite to Postgres, and keeps its blobs where they are."""
    async with running(others) as registry:
        await fill(registry)
        was = await served(registry)
    file = str(tmp_path / "backup")
    await said(others, "backup", file)
    moved = {**others, "database.url": postgres_url()}
    await said(moved, "restore", file)
    async with running(moved) as registry:
        assert await served(registry) == was


async def test_from_files_to_objects(
    others: Settings, s3: S3Server, postgres_url: Callable[[], str], tmp_path: Path
) -> None:
    """A registry moves from a folder to object storage: restored without its blobs, it is whole when they were pushed."""
    async with running(others) as registry:
        await fill(registry)
        was = await served(registry)
    file = str(tmp_path / "backup")
    await said(others, "backup", file)
    moved = {**others, **s3.settings(), "database.url": postgres_url()}
    await build_store(load(None, moved)).open()  # there is a bucket now
    assert any(line.startswith("missing: ") for line in await said(moved, "restore", file, status=1))
    async with running(moved) as registry:
        for path, found in was.items():
            repository, _, digest = path.partition("/blobs/")
            if digest:
                assert isinstance(found, bytes)
                blob = content.Blob(found, algorithm=digest.partition(":")[0])
                await registry.repository(repository).upload(blob)
        assert await served(registry) == was
    assert (await said(moved, "check", "--deep"))[-1].endswith(": no problems")


async def more_than(count: int, pushed: list[str]) -> None:
    """Wait until so much was pushed."""
    deadline = time.monotonic() + 60
    while len(pushed) <= count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_beside_clients(settings: Settings, others: Settings, tmp_path: Path) -> None:
    """Backups beside pushing and deleting clients are whole: they hold every push acknowledged before they began."""
    pushed: list[str] = []
    ended = asyncio.Event()
    async with running(settings) as registry:

        async def push(client: int) -> None:
            repository = registry.repository(f"team/app{client}")
            number = 0
            while not ended.is_set():
                name = f"{client}-{number}"
                await repository.push(content.image(name, [f"layer {name}"]), f"v{number}")
                pushed.append(f"team/app{client}/manifests/v{number}")
                await repository.push(content.image(f"moving {name}"), "moving")
                await repository.delete("manifests/moving")
                number += 1

        clients = [asyncio.create_task(push(client)) for client in range(4)]
        acknowledged: list[list[str]] = []
        for number in range(3):
            await more_than(len(pushed) + 4, pushed)
            acknowledged.append(list(pushed))
            await said(settings, "backup", str(tmp_path / f"backup{number}"))
        ended.set()
        await asyncio.gather(*clients)
    assert len(acknowledged[0]) > 4
    assert len(pushed) > len(acknowledged[2]) > len(acknowledged[0])
    for number, before in enumerate(acknowledged):
        shutil.rmtree(str(others["storage.directory"]), ignore_errors=True)
        copy_blobs(settings, others)
        assert (await said(others, "restore", "--deep", str(tmp_path / f"backup{number}")))[-1].endswith(
            ": no problems"
        )
        async with running(others) as registry:
            assert set(before) <= (await served(registry)).keys()


# What is missing, and what cannot be


async def test_missing_blob(others: Settings, tmp_path: Path) -> None:
    """Blobs that were not copied are named with their repositories, and so is what is not whole without them."""
    image = content.image("app")
    async with running(others) as registry:
        await registry.repository("team/app").push(image, "v1")
    file = str(tmp_path / "backup")
    await said(others, "backup", file)
    shutil.rmtree(str(others["storage.directory"]))
    lines = await said(others, "restore", file, status=1)
    assert {line for line in lines if line.startswith("missing: ")} == {
        f"missing: team/app: blob {blob.digest} of {len(blob.content)} bytes is not in the store"
        for blob in image.blobs
    }
    assert f"problem: team/app@{image.digest}: blob {image.blobs[0].digest}, which it names," in "\n".join(
        lines
    )
    assert lines[-1].endswith(": 6 problems")
    async with running(others) as registry:
        await registry.repository("team/app").push(image, "v1")
    assert (await said(others, "check", "--deep"))[-1].endswith(": no problems")


async def test_database_that_is_not_empty(settings: Settings, tmp_path: Path) -> None:
    """A database that has something in it is left as it is."""
    async with running(settings) as registry:
        await fill(registry)
        was = await served(registry)
    file = str(tmp_path / "backup")
    await said(settings, "backup", file)
    [line] = await said(settings, "restore", file, status=3)
    assert line.startswith("registry: the database is not empty: 2 repositories, ")
    async with running(settings) as registry:
        assert await served(registry) == was


@pytest.mark.parametrize("size", [0, 5, 100, -1])
async def test_damaged_file(others: Settings, tmp_path: Path, size: int) -> None:
    """A file that is cut off is refused before anything is written, even a folder."""
    async with running(others) as registry:
        await fill(registry)
    file = tmp_path / "backup"
    await said(others, "backup", str(file))
    file.write_bytes(file.read_bytes()[:size])
    new = {"storage.directory": tmp_path / "new"}
    [line] = await said(new, "restore", str(file), status=3)
    assert line.startswith(f"registry: {file}: it ")
    assert not (tmp_path / "new").exists()


async def test_no_file(others: Settings, tmp_path: Path) -> None:
    """A file that is not there, or is none, is told in one line."""
    [line] = await said(others, "restore", str(tmp_path / "nothing"), status=3)
    assert line == f"registry: {tmp_path}/nothing: No such file or directory"
    [line] = await said(others, "restore", str(tmp_path), status=3)
    assert line == f"registry: {tmp_path}: is not a file"


@pytest.mark.parametrize(("arguments", "status"), [(["backup"], 1), (["restore"], 3)])
async def test_database_that_does_not_answer(
    others: Settings, tmp_path: Path, arguments: list[str], status: int
) -> None:
    """A database that cannot be reached is told in plain words, without its password."""
    await said(others, "migrate")
    await said(others, "backup", str(tmp_path / "backup"))
    run = await command({"database.url": NO_DATABASE}, *arguments, str(tmp_path / "backup"))
    assert run.returncode == status
    assert run.stderr.startswith(b"registry: the database cannot be used:\n")
    assert b"s3cret" not in run.stderr


# Files


async def test_standard_output(others: Settings, tmp_path: Path) -> None:
    """With - the backup, and nothing else, goes to standard output."""
    async with running(others) as registry:
        await fill(registry)
    run = await command(others, "backup", "-")
    assert run.returncode == 0
    assert run.stderr.startswith(b"backed up 2 repositories, ")
    file = tmp_path / "backup"
    file.write_bytes(run.stdout)
    copy_blobs(others, {"storage.directory": tmp_path / "new"})
    await said({"storage.directory": tmp_path / "new"}, "restore", str(file))


async def test_backup_takes_the_place_of_the_last(others: Settings, tmp_path: Path) -> None:
    """A backup has its name at once, with nothing beside it, and is not for others to read."""
    await said(others, "migrate")
    file = tmp_path / "backups" / "backup"
    file.parent.mkdir()
    for _ in range(2):
        await said(others, "backup", str(file))
        assert list(file.parent.iterdir()) == [file]
        assert file.stat().st_mode & 0o777 == 0o600
    assert gzip.decompress(file.read_bytes()).count(b"\n") == 2


async def test_backup_that_fails(others: Settings, tmp_path: Path) -> None:
    """A backup that fails half way leaves the last one as it was, and nothing beside it."""
    await said(others, "migrate")
    file = tmp_path / "backups" / "backup"
    file.parent.mkdir()
    file.write_bytes(b"the last one")
    with sqlite3.connect(Path(str(others["storage.directory"])) / "registry.db") as database:
        database.execute("DROP TABLE tags")
    run = await command(others, "backup", str(file))
    assert run.returncode == 1
    assert list(file.parent.iterdir()) == [file]
    assert file.read_bytes() == b"the last one"


async def test_no_place_for_a_backup(others: Settings, tmp_path: Path) -> None:
    """Where no file can be, none is written, and a device stays one."""
    await said(others, "migrate")
    assert await said(others, "backup", str(tmp_path / "none" / "backup"), status=1) == []
    assert await said(others, "backup", "/dev/null", status=1) == []
    assert not Path("/dev/null").is_file()
