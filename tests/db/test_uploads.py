"""Rows of uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, update

from registry.db import uploads
from registry.db.clock import now_us
from registry.db.schema import uploads as table
from registry.db.uploads import Upload
from tests.db.rows import APP, COPY

if TYPE_CHECKING:
    from registry.db.database import Database

pytestmark = pytest.mark.anyio

ANYBODY = "anonymous"


def touched(connection: Connection, upload_id: str, at_us: int) -> None:
    """The upload was last touched at this instant."""
    connection.execute(update(table).where(table.c.id == upload_id).values(touched_at_us=at_us))


async def test_found_by_its_own(database: Database) -> None:
    """An upload is found with its repository and its principal, and with no others."""
    upload = Upload("one", 0, "sha512")
    await database.write_soon(uploads.start, upload, APP, "user:alice")
    assert await database.read(uploads.find, "one", APP, "user:alice") == upload
    for upload_id, repository, principal in [
        ("two", APP, "user:alice"),
        ("one", COPY, "user:alice"),
        ("one", APP, "user:bob"),
        ("one", APP, ANYBODY),
        ("ONE", APP, "user:alice"),
    ]:
        assert await database.read(uploads.find, upload_id, repository, principal) is None


async def test_resize(database: Database) -> None:
    """The size that was acknowledged is kept, beyond 4 GiB too; an upload that ended has none."""
    await database.write_soon(uploads.start, Upload("one", 0, "sha256"), APP, ANYBODY)
    assert await database.write_soon(uploads.resize, "one", 5 * 1024**3) is True
    assert await database.read(uploads.find, "one", APP, ANYBODY) == Upload("one", 5 * 1024**3, "sha256")
    assert await database.write_soon(uploads.resize, "two", 5) is False


async def test_end(database: Database) -> None:
    """An upload ends once."""
    await database.write_soon(uploads.start, Upload("one", 0, "sha256"), APP, ANYBODY)
    assert await database.read(uploads.exists, "one") is True
    assert await database.write(uploads.end, "one") is True
    assert await database.write(uploads.end, "one") is False
    assert await database.read(uploads.exists, "one") is False


async def test_idle(database: Database) -> None:
    """Idle are those uploads that nobody touched; a chunk, even an empty one, is a touch."""
    for upload_id in ("old", "older", "gone on", "new"):
        await database.write_soon(uploads.start, Upload(upload_id, 0, "sha256"), APP, ANYBODY)
    hour_ago = now_us() - 3_600_000_000
    for upload_id in ("old", "older", "gone on"):
        await database.write(touched, upload_id, hour_ago - 1)
    await database.write_soon(uploads.resize, "gone on", 0)
    assert await database.read(uploads.idle, hour_ago, "", 10) == ["old", "older"]
    assert await database.read(uploads.idle, hour_ago, "", 1) == ["old"]
    assert await database.read(uploads.idle, hour_ago, "old", 10) == ["older"]


async def test_goes_on(database: Database) -> None:
    """An upload goes on when it is there and was touched since then."""
    await database.write_soon(uploads.start, Upload("one", 0, "sha256"), APP, ANYBODY)
    await database.write(touched, "one", 1000)
    assert await database.read(uploads.goes_on, "one", 1000) is True
    assert await database.read(uploads.goes_on, "one", 1001) is False
    assert await database.read(uploads.goes_on, "two", 0) is False
