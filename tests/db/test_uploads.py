"""Rows of uploads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import Connection, update

from registry.db import uploads
from registry.db.clock import now_us
from registry.db.schema import uploads as table
from registry.db.uploads import Upload
from registry.oci.digest import Digest
from tests.db.rows import APP, COPY

if TYPE_CHECKING:
    from registry.db.database import Database

pytestmark = pytest.mark.anyio

ANYBODY: Final = "anonymous"
DIGEST: Final = Digest.of(b"all")


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
    begun = Upload("one", 0, "sha256")
    await database.write_soon(uploads.start, begun, APP, ANYBODY)
    assert await database.write_soon(uploads.resize, begun, 5 * 1024**3, "a b") is True
    assert await database.read(uploads.find, "one", APP, ANYBODY) == replace(
        begun, size=5 * 1024**3, state="a b"
    )
    assert await database.write_soon(uploads.resize, Upload("two", 0, "sha256"), 5, "") is False


async def test_resize_from_what_it_was(database: Database) -> None:
    """Of two who read the same row, one changes it; the other would have to read it again."""
    begun = Upload("one", 0, "sha256")
    await database.write_soon(uploads.start, begun, APP, ANYBODY)
    assert await database.write_soon(uploads.resize, begun, 3, "first") is True
    assert await database.write_soon(uploads.resize, begun, 3, "second") is False
    assert await database.write_soon(uploads.resize, replace(begun, size=3), 3, "second") is False
    assert await database.write_soon(uploads.claim, begun, 3, "second", DIGEST) is False
    assert await database.read(uploads.find, "one", APP, ANYBODY) == replace(begun, size=3, state="first")


async def test_claim(database: Database) -> None:
    """What is being published takes no more bytes, cannot be cancelled, and is claimed again for the same digest only."""
    begun = Upload("one", 0, "sha256")
    await database.write_soon(uploads.start, begun, APP, ANYBODY)
    assert await database.write_soon(uploads.claim, begun, 3, "all", DIGEST) is True
    claimed = Upload("one", 3, "sha256", "all", DIGEST)
    assert await database.read(uploads.find, "one", APP, ANYBODY) == claimed
    assert await database.write_soon(uploads.resize, claimed, 4, "more") is False
    assert await database.write_soon(uploads.cancel, "one") is False
    assert await database.write_soon(uploads.claim, claimed, 4, "more", Digest.of(b"more")) is False
    assert await database.write_soon(uploads.claim, claimed, 3, "all", DIGEST) is True
    assert await database.write_soon(uploads.end, "one") is True


async def test_cancel(database: Database) -> None:
    """An upload is cancelled once."""
    await database.write_soon(uploads.start, Upload("one", 0, "sha256"), APP, ANYBODY)
    assert await database.write_soon(uploads.cancel, "one") is True
    assert await database.write_soon(uploads.cancel, "one") is False


async def test_end_idle(database: Database) -> None:
    """An upload that was idle when it was looked at and then went on is not ended."""
    await database.write_soon(uploads.start, Upload("one", 0, "sha256"), APP, ANYBODY)
    await database.write(touched, "one", 1000)
    assert await database.write_soon(uploads.end_idle, "one", 1000) is False
    assert await database.write_soon(uploads.end_idle, "one", 1001) is True
    assert await database.write_soon(uploads.end_idle, "one", 1001) is False


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
    await database.write_soon(uploads.resize, Upload("gone on", 0, "sha256"), 0, "")
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
