"""`registry check` finds what is broken, each kind of it, and nothing where clients are at work."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Executable, text, update

from registry.db.database import open_database
from registry.db.schema import manifests
from registry.operations import check
from registry.storage.filesystem import FilesystemStore
from tests.faults.crashing import REGISTRY, doomed_server
from tests.faults.ledger import Ledger
from tests.faults.pushers import pushing
from tests.server import PROJECT
from tests.support import images
from tests.support.registries import APP, COPY, problems, push_image, registry_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

_CHECKS = 12
CODE = images.blob_digest("code")
IMAGE = images.image("base", "code")


@pytest.fixture
async def registry(tables_url: str, tmp_path: Path) -> AsyncIterator[Registry]:
    """Give a registry on files with an image called "app" in one repository, and its like in another."""
    store = FilesystemStore(tmp_path / "data")
    await store.open()
    with closing(open_database(tables_url)) as database:
        registry = registry_on(database, store)
        await push_image(registry, APP, IMAGE, "latest")
        await push_image(registry, COPY, images.image("base"), "latest")
        assert await problems(registry) == []
        yield registry


def file_of_code(registry: Registry) -> Path:
    """Where the layer "code" lies."""
    assert isinstance(registry.store, FilesystemStore)
    return registry.store.path(CODE)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (lambda file: file.unlink(), "is not in the store"),
    "emptied": (lambda file: file.write_bytes(b""), "has 0 bytes in the store"),
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:-1]), "bytes in the store"),
    "with a byte too many": (lambda file: file.write_bytes(file.read_bytes() + b"!"), "bytes in the store"),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damaged_file(registry: Registry, damage: str) -> None:
    """A blob whose file is gone or has another size is reported, without reading any."""
    harm, words = DAMAGE[damage]
    harm(file_of_code(registry))
    report = await check.check(registry, lambda *_: None)
    assert len(report.problems) == 1
    assert CODE in report.problems[0]
    assert words in report.problems[0]


async def test_flipped_byte(registry: Registry) -> None:
    """A blob in which one bit has changed is reported where all bytes are read, and only there."""
    file = file_of_code(registry)
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    assert (await check.check(registry, lambda *_: None)).problems == []
    assert [CODE in problem and "hash to" in problem for problem in await problems(registry)] == [True]


ROWS: dict[str, tuple[Executable, str, int]] = {
    "a repository lost its blobs": (text("DELETE FROM repository_blobs"), "is not in the repository", 5),
    "a blob is not there": (text(f"UPDATE blobs SET present = false WHERE digest = '{CODE}'"), CODE, 1),
    "a blob has another size": (
        text(f"UPDATE blobs SET size = 7 WHERE digest = '{CODE}'"),
        "7 by its row",
        1,
    ),
    "a manifest forgot its blobs": (text("DELETE FROM manifest_blobs"), "differ in: blobs", 2),
    "a manifest has another size": (text("UPDATE manifests SET size = 7"), "differ in: size", 2),
    "a manifest has other content": (update(manifests).values(content=b"{}"), "hashes to something else", 2),
    "a manifest has another type": (
        text(f"UPDATE manifests SET media_type = '{images.OCI_INDEX}'"),
        "not a valid manifest",
        2,
    ),
    "a manifest has another subject": (text(f"UPDATE manifests SET subject_digest = '{CODE}'"), "subject", 2),
    "a tag leads elsewhere": (
        text("UPDATE tags SET manifest_id = (SELECT min(manifest_id) FROM tags)"),
        "points to a manifest of another repository",
        1,
    ),
    "a manifest names blobs for another": (
        text("UPDATE manifest_blobs SET repository_id = (SELECT min(id) FROM repositories)"),
        "names blobs for another repository",
        2,
    ),
}


@pytest.mark.parametrize("damage", ROWS)
async def test_damaged_rows(registry: Registry, damage: str) -> None:
    """Rows that contradict each other or the bytes are reported, each of them, in words."""
    statement, words, count = ROWS[damage]
    await registry.database.write(lambda connection: connection.execute(statement))
    found = await problems(registry)
    assert len(found) == count, found
    assert all(words in problem for problem in found), found


async def test_bytes_without_rows(registry: Registry) -> None:
    """What a crash leaves, bytes that no row knows, is noted and no problem."""
    file = file_of_code(registry)
    (file.parent / ("0" * 64)).write_bytes(b"left behind")
    report = await check.check(registry, lambda *_: None, deep=True)
    assert report.problems == []
    assert report.notes == ["1 blobs of 11 bytes are in the store and known to no row"]


@pytest.mark.faults
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_check_beside_pushes(tmp_path: Path, postgres_url: Callable[[], str], database: str) -> None:
    """The command finds nothing wrong, however often it looks, while clients push, move tags, mount and delete."""
    options = ["--data", str(tmp_path / "data")]
    if database == "postgres":
        options += ["--database-url", postgres_url()]
    with doomed_server(tmp_path / "data", *options[2:], "--workers", "2") as (server, _):
        async with pushing(server, Ledger(), 0) as images_pushed:
            for number in range(_CHECKS):
                pushed, deep = images_pushed[0], ["--deep"] if number % 2 else []
                done = await asyncio.to_thread(
                    subprocess.run,
                    [*REGISTRY, "check", *options, *deep],
                    cwd=PROJECT,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                assert images_pushed[0] > pushed
