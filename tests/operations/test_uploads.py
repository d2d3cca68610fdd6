"""Uploads, from the first byte to the blob."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from registry.db import uploads as rows
from registry.db.clock import now_us
from registry.oci.access import User
from registry.oci.digest import Digest
from registry.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    DigestMismatch,
    SizeInvalid,
    UploadBusy,
    UploadOutOfOrder,
)
from registry.oci.ranges import ChunkRange
from registry.operations import blobs, sessions, uploads
from registry.operations.purging import purge
from registry.storage.contract import CHUNK_BYTES
from tests.faults.injection import Steps
from tests.support.registries import ANYBODY, APP, COPY, EXCLUSIVE, changed, problems, read_blob, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.operations.registry import Registry
    from registry.operations.uploads import Session

pytestmark = pytest.mark.anyio

CONTENT: Final = b"one two three"
DIGEST: Final = Digest.of(CONTENT)
LARGE: Final = bytes(range(256)) * 4096 * 3 + b"and a rest"


class ClientGone(Exception):
    """What a body raises whose client has gone."""


@pytest.fixture
async def session(registry: Registry) -> Session:
    """Give a new upload."""
    return await uploads.start(registry, APP, ANYBODY)


async def staged(registry: Registry) -> set[str]:
    """The uploads that the store has bytes of."""
    return {upload.upload async for upload in registry.store.uploads()}


# The ways to push


async def test_push(registry: Registry) -> None:
    """A blob pushed in one request is there, and nothing is left of the upload."""
    await uploads.push(registry, APP, DIGEST, stream(b"one ", b"two ", b"three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT
    assert await staged(registry) == set()
    assert await problems(registry) == []


async def test_append_and_finish(registry: Registry, session: Session) -> None:
    """A blob can come in pieces, the last of them with the digest or before it."""
    assert await uploads.append(registry, session, None, stream(b"one ")) == 4
    assert await uploads.append(registry, session, ChunkRange(4, 7), stream(b"two ")) == 8
    assert await uploads.status(registry, session) == 8
    await uploads.finish(registry, session, DIGEST, None, stream(b"three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT
    assert await staged(registry) == set()


async def test_finish_alone(registry: Registry, session: Session) -> None:
    """All bytes can come with the digest, or none at all for a blob of none."""
    await uploads.finish(registry, session, DIGEST, ChunkRange(0, len(CONTENT) - 1), stream(CONTENT))
    empty = await uploads.start(registry, APP, ANYBODY)
    await uploads.finish(registry, empty, Digest.of(b""), None, stream())
    assert await read_blob(registry, APP, DIGEST) == CONTENT
    assert await read_blob(registry, APP, Digest.of(b"")) == b""


@pytest.mark.parametrize("piece_bytes", [1000, CHUNK_BYTES, len(LARGE)])
async def test_large_blob(registry: Registry, session: Session, piece_bytes: int) -> None:
    """Pieces of any size, as a network delivers them, make up the blob."""
    pieces = [LARGE[start : start + piece_bytes] for start in range(0, len(LARGE), piece_bytes)]
    assert await uploads.append(registry, session, None, stream(*pieces)) == len(LARGE)
    await uploads.finish(registry, session, Digest.of(LARGE), None, stream())
    assert await read_blob(registry, APP, Digest.of(LARGE)) == LARGE


async def test_pushed_again(registry: Registry) -> None:
    """The second push of a blob, to any repository, succeeds."""
    for repository in (APP, APP, COPY):
        await uploads.push(registry, repository, DIGEST, stream(CONTENT))
        assert await read_blob(registry, repository, DIGEST) == CONTENT
    assert [blob.digest async for blob in registry.store.blobs()] == [DIGEST]


async def test_finished_upload_is_gone(registry: Registry, session: Session) -> None:
    """A finished upload is unknown to every request."""
    await uploads.finish(registry, session, DIGEST, None, stream(CONTENT))
    await assert_unknown(registry, session)


async def test_cancel(registry: Registry, session: Session) -> None:
    """A cancelled upload is unknown to every request, and its bytes are gone."""
    await uploads.append(registry, session, None, stream(CONTENT))
    await uploads.cancel(registry, session)
    await assert_unknown(registry, session)
    assert await staged(registry) == set()


async def test_cancel_frees_the_bytes_first(registry: Registry, session: Session) -> None:
    """Bytes go while they are held, before the row does: a full disk has room for that only then."""
    await uploads.append(registry, session, None, stream(CONTENT))
    steps = Steps()
    await uploads.cancel(steps.of(registry), session)
    assert steps.between("after stage", "before discard") == [
        "before a look",
        "before a look is committed",
        "after a look",
        "before cut",
        "after cut",
        "before a write",
        "before a write is committed",
        "after a write",
    ]


async def test_cancel_of_another_upload_frees_nothing(registry: Registry, session: Session) -> None:
    """Whose upload it is not finds it unknown, and its bytes stay."""
    await uploads.append(registry, session, None, stream(CONTENT))
    with pytest.raises(BlobUploadUnknown):
        await uploads.cancel(registry, uploads.Session(session.id, APP, User("alice")))
    assert await uploads.append(registry, session, None, stream(b"more")) == len(CONTENT) + 4


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_freed_upload_has_ended(registry: Registry, session: Session) -> None:
    """After a crash between freeing the bytes and taking the row away, nobody goes on with the upload."""
    await uploads.append(registry, session, None, stream(CONTENT))
    async with registry.store.stage(session.id) as held:
        await held.cut(0)
    with pytest.raises(BlobUploadUnknown):
        await uploads.append(registry, session, None, stream(b"more"))
    await assert_unknown(registry, session)


async def test_whose_upload(registry: Registry, session: Session) -> None:
    """An upload belongs to its repository and to who started it; to others it is unknown."""
    await assert_unknown(registry, uploads.Session(session.id, COPY, ANYBODY))
    await assert_unknown(registry, uploads.Session(session.id, APP, User("alice")))
    await assert_unknown(registry, uploads.Session("0" * 32, APP, ANYBODY))
    await assert_unknown(registry, uploads.Session("../../etc/passwd", APP, ANYBODY))
    assert await uploads.status(registry, session) == 0


async def assert_unknown(registry: Registry, session: Session) -> None:
    """Nothing can be done with the upload."""
    for request in (
        uploads.status(registry, session),
        uploads.append(registry, session, None, stream(CONTENT)),
        uploads.finish(registry, session, DIGEST, None, stream(CONTENT)),
        uploads.cancel(registry, session),
    ):
        with pytest.raises(BlobUploadUnknown):
            await request


# What is wrong changes nothing


async def test_wrong_digest(registry: Registry) -> None:
    """Bytes that hash to something else are no blob, of neither digest, and leave nothing."""
    with pytest.raises(DigestMismatch) as caught:
        await uploads.push(registry, APP, Digest.of(b"else"), stream(CONTENT))
    assert caught.value.detail == {"expected": Digest.of(b"else"), "actual": DIGEST}
    for digest in (DIGEST, Digest.of(b"else")):
        with pytest.raises(BlobUnknown):
            await blobs.size(registry, APP, digest)
    assert await staged(registry) == set()
    assert [blob async for blob in registry.store.blobs()] == []


async def test_wrong_digest_at_the_end(registry: Registry, session: Session) -> None:
    """A last request with a wrong digest is as if it had not been: the upload stands where it stood before."""
    await uploads.append(registry, session, None, stream(b"one "))
    with pytest.raises(DigestMismatch):
        await uploads.finish(registry, session, Digest.of(b"else"), None, stream(b"two three"))
    assert await uploads.status(registry, session) == 4
    await uploads.finish(registry, session, DIGEST, None, stream(b"two three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT


@pytest.mark.parametrize(
    "chunk", [ChunkRange(0, 3), ChunkRange(3, 6), ChunkRange(5, 8), ChunkRange(100, 103)]
)
async def test_out_of_order(registry: Registry, session: Session, chunk: ChunkRange) -> None:
    """A chunk that leaves a gap, or comes again, is refused with the place to go on from; nothing changes."""
    await uploads.append(registry, session, None, stream(b"one "))
    for request in (
        uploads.append(registry, session, chunk, stream(b"two ")),
        uploads.finish(registry, session, DIGEST, chunk, stream(b"two ")),
    ):
        with pytest.raises(UploadOutOfOrder) as caught:
            await request
        assert caught.value.size == 4
    await uploads.finish(registry, session, DIGEST, ChunkRange(4, 12), stream(b"two three"))


@pytest.mark.parametrize("sent", [b"", b"two", b"two three"])
async def test_wrong_length(registry: Registry, session: Session, sent: bytes) -> None:
    """A chunk of another length than announced is refused as a whole."""
    await uploads.append(registry, session, None, stream(b"one "))
    for request in (
        uploads.append(registry, session, ChunkRange(4, 7), stream(sent)),
        uploads.finish(registry, session, DIGEST, ChunkRange(4, 7), stream(sent)),
    ):
        with pytest.raises(SizeInvalid):
            await request
        assert await uploads.status(registry, session) == 4
    await uploads.finish(registry, session, DIGEST, None, stream(b"two three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT


# Connections break, servers restart


async def test_broken_connection(registry: Registry, session: Session) -> None:
    """What came before the connection broke counts, and the client goes on from there."""
    with pytest.raises(ClientGone):
        await uploads.append(registry, session, None, stream(b"one ", b"two ", error=ClientGone()))
    assert await uploads.status(registry, session) == 8
    with pytest.raises(ClientGone):
        await uploads.finish(registry, session, DIGEST, None, stream(b"thr", error=ClientGone()))
    assert await uploads.status(registry, session) == 11
    await uploads.finish(registry, session, DIGEST, ChunkRange(11, 12), stream(b"ee"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT


async def test_broken_push(registry: Registry) -> None:
    """A push in one request that breaks off leaves nothing: nobody could go on with it."""
    with pytest.raises(ClientGone):
        await uploads.push(registry, APP, DIGEST, stream(CONTENT, error=ClientGone()))
    assert await staged(registry) == set()
    with pytest.raises(BlobUnknown):
        await blobs.size(registry, APP, DIGEST)


async def test_cancelled_request(registry: Registry, session: Session) -> None:
    """A request that the server ends in the middle leaves the upload free, at what was acknowledged."""
    await uploads.append(registry, session, None, stream(b"one "))
    waiting = asyncio.Event()
    request = asyncio.create_task(uploads.append(registry, session, None, stuck(b"two ", waiting)))
    await waiting.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await uploads.status(registry, session) == 4
    await uploads.finish(registry, session, DIGEST, ChunkRange(4, 12), stream(b"two three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT


async def stuck(piece: bytes, waiting: asyncio.Event) -> AsyncIterator[bytes]:
    """A body that goes silent after more than a chunk, so that some of it was written."""
    yield piece + bytes(CHUNK_BYTES)
    waiting.set()
    await asyncio.Event().wait()


async def test_restart(registry: Registry, session: Session) -> None:
    """Another process, or this one after a restart, goes on: the hash is made again from the bytes."""
    await uploads.append(registry, session, None, stream(b"one "))
    await uploads.append(changed(registry), session, None, stream(b"two "))
    await uploads.finish(changed(registry), session, DIGEST, None, stream(b"three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT


async def test_workers_take_turns(registry: Registry, session: Session) -> None:
    """Chunks that arrive at one worker and then at another make up the blob; no worker trusts an old hash."""
    workers = [registry, changed(registry)]
    for number in range(len(CONTENT)):
        piece = CONTENT[number : number + 1]
        await uploads.append(workers[number % 2], session, ChunkRange(number, number), stream(piece))
    await uploads.finish(registry, session, DIGEST, None, stream())
    assert await read_blob(registry, APP, DIGEST) == CONTENT


async def test_other_algorithm(registry: Registry, session: Session) -> None:
    """Which algorithm is asked for at the end need not be known at the start."""
    digest = Digest.of(LARGE, "sha512")
    await uploads.append(registry, session, None, stream(LARGE[:2_000_000]))
    await uploads.finish(registry, session, digest, None, stream(LARGE[2_000_000:]))
    assert await read_blob(registry, APP, digest) == LARGE
    expected = await uploads.start(registry, APP, ANYBODY, "sha512")
    await uploads.append(registry, expected, None, stream(CONTENT))
    await uploads.finish(registry, expected, Digest.of(CONTENT, "sha512"), None, stream())


async def test_bytes_that_nobody_acknowledged(registry: Registry, session: Session) -> None:
    """Bytes behind what was acknowledged, as a killed server leaves them, are in no blob."""
    await uploads.append(registry, session, None, stream(b"one "))
    async with registry.store.stage(session.id) as held:
        await held.write(b"and what the server was killed at")
    assert await uploads.status(registry, session) == 4
    await uploads.finish(changed(registry), session, DIGEST, None, stream(b"two three"))
    assert await read_blob(registry, APP, DIGEST) == CONTENT


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_bytes_that_were_lost(registry: Registry, session: Session) -> None:
    """Where acknowledged bytes are gone after a power cut, the upload has ended; no blob has a hole."""
    await uploads.append(registry, session, None, stream(b"one "))
    async with registry.store.stage(session.id) as held:
        await held.cut(2)
    with pytest.raises(BlobUploadUnknown):
        await uploads.append(registry, session, None, stream(b"two "))
    await assert_unknown(registry, session)


# Several at once


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_busy(registry: Registry, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request writes, another is refused with what was acknowledged; the first is not disturbed."""
    monkeypatch.setattr(sessions, "_BUSY_SECONDS_MAX", 0.1)
    await uploads.append(registry, session, None, stream(b"one "))
    async with registry.store.stage(session.id):
        for request in (
            uploads.append(registry, session, None, stream(b"two ")),
            uploads.finish(changed(registry), session, DIGEST, None, stream(b"two ")),
        ):
            with pytest.raises(UploadBusy) as caught:
                await request
            assert caught.value.size == 4
    await uploads.finish(registry, session, DIGEST, None, stream(b"two three"))


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_busy_for_a_moment(registry: Registry, session: Session) -> None:
    """A client that goes on before we noticed that its old connection is gone waits, and goes on then."""
    async with registry.store.stage(session.id) as held:
        request = asyncio.create_task(uploads.append(registry, session, None, stream(b"two ")))
        await asyncio.sleep(0.1)
        await held.write(b"one ")
        await registry.database.write_soon(rows.resize, rows.Upload(session.id, 0, "sha256"), 4, "")
    assert await request == 8


async def test_two_write_at_once(registry: Registry, session: Session) -> None:
    """Of two requests at the same place, one is taken; the other is told where the upload stands now."""
    chunk = ChunkRange(0, 3)
    outcomes = await asyncio.gather(
        *(uploads.append(registry, session, chunk, stream(b"one ")) for _ in range(4)), return_exceptions=True
    )
    assert outcomes.count(4) == 1
    refused = [outcome for outcome in outcomes if outcome != 4]
    assert all(isinstance(outcome, UploadOutOfOrder) and outcome.size == 4 for outcome in refused)


async def test_finished_by_several_at_once(registry: Registry, session: Session) -> None:
    """Of several requests that finish one upload, as impatient clients send them, each succeeds or finds it gone."""
    outcomes = await asyncio.gather(
        *(uploads.finish(registry, session, DIGEST, None, stream(CONTENT)) for _ in range(4)),
        return_exceptions=True,
    )
    assert None in outcomes
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, BlobUploadUnknown | UploadOutOfOrder) for outcome in refused)
    assert await read_blob(registry, APP, DIGEST) == CONTENT
    await assert_unknown(registry, session)
    assert await purge_of_leftovers(registry) == set()


async def purge_of_leftovers(registry: Registry) -> set[str]:
    """What is still staged after a purge of whatever is idle."""
    await asyncio.sleep(0.01)
    await purge(changed(registry, upload_idle_seconds_max=0))
    return await staged(registry)


async def test_cancelled_upload_that_is_written_to(registry: Registry, session: Session) -> None:
    """An upload that is cancelled while a request writes to it is gone; that request is told so at its end."""
    writing = asyncio.Event()
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        writing.set()
        await go_on.wait()
        yield CONTENT

    request = asyncio.create_task(uploads.append(registry, session, None, body()))
    await writing.wait()
    await uploads.cancel(registry, session)
    go_on.set()
    with pytest.raises(BlobUploadUnknown):
        await request
    assert await purge_of_leftovers(registry) == set()


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_slow_upload_is_recorded(
    registry: Registry, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a long request arrives, its row learns of what is there: it is not idle, and survives a kill."""
    monkeypatch.setattr(uploads, "_CHECKPOINT_SECONDS", -1)
    seen: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(CHUNK_BYTES)
            seen.append(await uploads.status(registry, session))

    await uploads.append(registry, session, None, body())
    assert seen[-1] > 0
    assert seen == sorted(seen)
    assert all(size % CHUNK_BYTES == 0 for size in seen)


@pytest.mark.parametrize("registry", ["objects+postgres"], indirect=True)
async def test_slow_upload_is_touched(
    registry: Registry, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where bytes that are under way cannot be found again, a long request counts at its end, and is not idle before."""
    monkeypatch.setattr(uploads, "_CHECKPOINT_SECONDS", -1)
    idle_since = now_us()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(CHUNK_BYTES)
        assert await uploads.status(registry, session) == 0
        assert await registry.database.read(rows.goes_on, session.id, idle_since)

    assert await uploads.append(registry, session, None, body()) == 4 * CHUNK_BYTES
