"""Running hashes: at hand or made again, and always those of the bytes that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from registry.oci.digest import Digest
from registry.operations import hashing
from registry.operations.hashing import RunningHash, RunningHashes
from tests.support.registries import stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

CONTENT: Final = b"some content"


async def not_read() -> AsyncIterator[bytes]:
    """Bytes that nobody should need."""
    pytest.fail("the bytes were read back")
    yield b""


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
    hashes.keep("upload", hasher)
    assert await hashes.take("upload", "sha256", len(CONTENT), not_read()) is hasher
    again = await hashes.take("upload", "sha256", len(CONTENT), stream(CONTENT))
    assert again is not hasher
    assert again.digest() == Digest.of(CONTENT)


async def test_nothing_yet() -> None:
    """Of no bytes, none are read."""
    hasher = await RunningHashes().take("upload", "sha256", 0, not_read())
    assert (hasher.size, hasher.digest()) == (0, Digest.of(b""))


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [("sha512", len(CONTENT)), ("sha256", len(CONTENT) - 1), ("sha256", len(CONTENT) + 1)],
)
async def test_does_not_fit(algorithm: str, size: int) -> None:
    """A hash of another algorithm, or of more or fewer bytes, is made again from the bytes."""
    hashes = RunningHashes()
    hashes.keep("upload", await running(CONTENT))
    there = bytes(size)
    hasher = await hashes.take("upload", algorithm, size, stream(there[:5], there[5:]))
    assert (hasher.size, hasher.digest()) == (size, Digest.of(there, algorithm))


async def test_not_at_hand() -> None:
    """After a restart, or in another worker, the hash is made from the bytes; uploads are not mixed up."""
    hashes = RunningHashes()
    hashes.keep("other", await running(b"other bytes!"))
    hasher = await hashes.take("upload", "sha256", len(CONTENT), stream(b"some ", b"content"))
    assert hasher.digest() == Digest.of(CONTENT)


async def test_forget() -> None:
    """A forgotten hash is made again; to forget one that is not there is no error."""
    hashes = RunningHashes()
    hashes.keep("upload", await running(CONTENT))
    for _ in range(2):
        hashes.forget("upload")
    hasher = await hashes.take("upload", "sha256", len(CONTENT), stream(CONTENT))
    assert hasher.digest() == Digest.of(CONTENT)


async def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads that nobody goes on with do not fill the memory."""
    monkeypatch.setattr(hashing, "_UPLOADS_MAX", 2)
    hashes = RunningHashes()
    for upload in ("one", "two", "three"):
        hashes.keep(upload, await running(CONTENT))
    assert len(hashes._hashes) == 2
    await hashes.take("three", "sha256", len(CONTENT), not_read())
    await hashes.take("two", "sha256", len(CONTENT), not_read())
