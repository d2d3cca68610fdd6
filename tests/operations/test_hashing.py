"""Running hashes: what is at hand of them, and that it is always of the bytes that are there."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from registry.db.uploads import Upload
from registry.oci.digest import Digest
from registry.operations import hashing
from registry.operations.hashing import RunningHash, RunningHashes

pytestmark = pytest.mark.anyio

CONTENT: Final = b"some content"
UPLOAD: Final = Upload("upload", len(CONTENT), "sha256", "where its bytes lie")


async def running(*pieces: bytes, algorithm: str = "sha256") -> RunningHash:
    """The hash of these pieces."""
    hasher = RunningHash(algorithm)
    for piece in pieces:
        await hasher.update(piece)
    return hasher


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("piece_bytes", [1, 1000, 32 * 1024, 32 * 1024 + 1, 1_000_000])
async def test_digest(algorithm: str, piece_bytes: int) -> None:
    """The digest is that of all the bytes, however they came and wherever they were hashed."""
    content = bytes(range(256)) * 8
    content = content if piece_bytes < 1000 else content * 500
    hasher = await running(
        *(content[start : start + piece_bytes] for start in range(0, len(content), piece_bytes)),
        algorithm=algorithm,
    )
    assert hasher.size == len(content)
    assert hasher.digest() == Digest.of(content, algorithm)


async def test_at_hand() -> None:
    """A hash that fits is taken as it is; its taker owns it alone."""
    hashes = RunningHashes()
    hasher = await running(CONTENT)
    hashes.keep(UPLOAD, hasher)
    assert hashes.take(UPLOAD, "sha256") is hasher
    again = hashes.take(UPLOAD, "sha256")
    assert again is not hasher
    assert (again.size, again.digest()) == (0, Digest.of(b""))


@pytest.mark.parametrize(
    ("algorithm", "now"),
    [
        ("sha512", UPLOAD),
        ("sha256", replace(UPLOAD, size=len(CONTENT) - 1)),
        ("sha256", replace(UPLOAD, size=len(CONTENT) + 1)),
        ("sha256", replace(UPLOAD, state="somebody else's bytes")),
    ],
)
async def test_does_not_fit(algorithm: str, now: Upload) -> None:
    """A hash of another algorithm, of fewer or more bytes, or of as many others is not taken, but one of no bytes."""
    hashes = RunningHashes()
    hashes.keep(UPLOAD, await running(CONTENT))
    hasher = hashes.take(now, algorithm)
    assert (hasher.algorithm, hasher.size, hasher.digest()) == (algorithm, 0, Digest.of(b"", algorithm))


async def test_not_at_hand() -> None:
    """After a restart, or in another worker, no bytes are hashed yet; uploads are not mixed up."""
    hashes = RunningHashes()
    hashes.keep(replace(UPLOAD, id="other"), await running(b"other bytes!"))
    assert hashes.take(UPLOAD, "sha256").size == 0


async def test_forget() -> None:
    """A forgotten hash is gone; to forget one that is not there is no error."""
    hashes = RunningHashes()
    hashes.keep(UPLOAD, await running(CONTENT))
    for _ in range(2):
        hashes.forget("upload")
    assert hashes.take(UPLOAD, "sha256").size == 0


async def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads that nobody goes on with do not fill the memory; hashes of no bytes take no room in it."""
    monkeypatch.setattr(hashing, "_UPLOADS_MAX", 2)
    hashes = RunningHashes()
    one, two, three = (replace(UPLOAD, id=name) for name in ("one", "two", "three"))
    for upload in (one, two, three):
        hashes.keep(upload, await running(CONTENT))
    hashes.keep(replace(UPLOAD, id="four", size=0), await running())
    assert [hashes.take(upload, "sha256").size for upload in (one, two, three)] == [
        0,
        len(CONTENT),
        len(CONTENT),
    ]
