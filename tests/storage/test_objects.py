"""The object store keeps the contract, on a real S3 server."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import obstore
import pytest
import structlog

from registry.oci.digest import Digest
from registry.oci.errors import Unavailable
from registry.storage.contract import CHUNK_BYTES, BlobMissing, StoredBlob
from registry.storage.objects import multipart, service, staged
from registry.storage.objects.layout import (
    Index,
    Segment,
    encode_state,
    index_key,
    new_segment_key,
    upload_key,
)
from registry.storage.objects.service import PART_BYTES, Bucket, Service
from registry.storage.objects.store import ObjectStore
from tests.s3 import REGION, S3Server
from tests.s3_faults import CUTS_THE_ANSWER, faulty
from tests.storage.contract import (
    CONTENT,
    DIGEST,
    StatefulStoreContract,
    assert_missing,
    blobs_of,
    publish,
    read,
    uploads_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio


def put(store: ObjectStore, key: str, content: bytes) -> None:
    """Write an object, past the store."""
    obstore.put(store.service._store, key, content)


def get(store: ObjectStore, key: str) -> bytes:
    """Read an object, past the store."""
    return bytes(obstore.get(store.service._store, key).bytes())


@pytest.fixture
def store(s3: S3Server) -> Iterator[ObjectStore]:
    """Give an empty store."""
    with closing(ObjectStore(s3.new_bucket())) as store:
        yield store


class ObjectStoreContract(StatefulStoreContract):
    """See the contract; the back doors to a bucket."""

    def put_blob(self, store: ObjectStore, digest: Digest, content: bytes) -> None:
        """See the contract."""
        segment = Segment(new_segment_key("past"), len(content))
        put(store, segment.key, content)
        put(store, index_key(digest), Index((segment,)).encode())

    def get_blob(self, store: ObjectStore, digest: Digest) -> bytes | None:
        """See the contract."""
        try:
            index = Index.decode(get(store, index_key(digest)))
        except FileNotFoundError:
            return None
        return b"".join(get(store, segment.key) for segment in index.segments)

    def put_staged(self, store: ObjectStore, upload: str, content: bytes) -> str:
        """See the contract."""
        segment = Segment(new_segment_key(upload), len(content))
        put(store, upload_key(upload), b"")
        put(store, segment.key, content)
        return encode_state(upload, [segment])


class TestObjectStore(ObjectStoreContract):
    """See the contract."""

    @pytest.fixture
    def store(self, store: ObjectStore) -> ObjectStore:
        """Give an empty store."""
        return store


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """Every object below a prefix."""
    return sorted(entry["path"] for page in obstore.list(store.service._store, prefix) for entry in page)


def segments(store: ObjectStore) -> list[str]:
    """Every segment."""
    return [key for key in keys(store, "segments") if not key.endswith("/published")]


@pytest.fixture
async def opened(store: ObjectStore) -> ObjectStore:
    """Give an empty store, ready for use."""
    await store.open()
    return store


async def test_tree(opened: ObjectStore) -> None:
    """Objects lie where `layout.py` says; a blob that came at once is one object, which holds nothing else."""
    await publish(opened, "one", CONTENT)
    async with opened.stage("two") as held:
        await held.write(b"some")
        await held.flush()
    async with opened.reader(DIGEST) as reader:
        assert await reader.url(60)
    [segment] = [key for key in segments(opened) if key.startswith("segments/one/")]
    assert get(opened, segment) == CONTENT
    names = [re.sub("[0-9a-f]{16}$", "NONCE", key) for key in keys(opened) if not key.startswith("blobs/")]
    assert names == [
        "ready",
        "segments/one/NONCE",
        "segments/one/published",
        "segments/two/NONCE",
        "uploads/two",
    ]
    assert keys(opened, "blobs") == [f"blobs/sha256/{DIGEST.encoded[:2]}/{DIGEST.encoded}"]


async def test_large_blob(opened: ObjectStore) -> None:
    """A blob of many parts and of several segments is read in pieces and in ranges, across their borders."""
    content = os.urandom(3 * PART_BYTES + 12_345)
    async with opened.stage("upload") as held:
        for start in range(0, len(content), CHUNK_BYTES):
            await held.write(content[start : start + CHUNK_BYTES])
            if start == 9 * CHUNK_BYTES:
                await held.flush()
        await held.publish(Digest.of(content))
    async with opened.reader(Digest.of(content)) as reader:
        assert await reader.url(60) is None
        assert b"".join([piece async for piece in reader.pieces(reader.size)]) == content
        border = 10 * CHUNK_BYTES
        for offset, length in ((border - 5, 10), (0, 1), (len(content) - 3, 10), (border, CHUNK_BYTES)):
            assert await reader.read(offset, length) == content[offset : offset + length]


async def test_more_than_one_object_can_hold(opened: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A multipart upload has only so many parts; what is larger goes on in another object."""
    monkeypatch.setattr(staged, "_SEGMENT_BYTES_MAX", 10)
    async with opened.stage("upload") as held:
        for piece in (CONTENT, b"!", CONTENT, CONTENT):
            await held.write(piece)
        await held.publish(DIGEST)
    assert [len(get(opened, key)) for key in segments(opened)] != [22]
    assert await read(opened, DIGEST) == CONTENT + b"!" + CONTENT + CONTENT


async def test_deleted_bytes_go_later(opened: ObjectStore) -> None:
    """What a deleted blob leaves is there for its readers until it is swept, and then nothing is."""
    await publish(opened, "upload", CONTENT)
    await opened.delete(DIGEST)
    assert await opened.sweep(3600) == 0
    assert len(keys(opened, "segments")) == 2
    assert await opened.sweep(-1) == 1
    assert keys(opened) == ["ready"]


async def test_replaced_bytes_go_later(opened: ObjectStore) -> None:
    """What a second push of a blob replaces is taken away by a sweep, and the second push's bytes stay."""
    await publish(opened, "one", CONTENT)
    await publish(opened, "two", CONTENT)
    await opened.sweep(-1)
    assert {key.split("/")[1] for key in keys(opened, "segments")} == {"two"}
    assert await read(opened, DIGEST) == CONTENT


async def test_read_on_where_it_was_pushed_again(opened: ObjectStore) -> None:
    """A reader whose bytes were replaced, and swept away under it, reads on from the new ones."""
    content = bytes(range(256)) * 4096 * 6
    digest = Digest.of(content)
    await publish(opened, "one", content)
    other = ObjectStore(opened.service.bucket)
    async with opened.reader(digest) as reader:
        first = await reader.read(0, CHUNK_BYTES)
        await publish(other, "two", content)
        await other.sweep(-1)
        assert first + await reader.read(CHUNK_BYTES, 5 * CHUNK_BYTES) == content
    assert await read(opened, digest) == content


async def test_index_that_comes_back(opened: ObjectStore) -> None:
    """Where a held-up request puts an index back that was replaced, its segments are not swept away under it."""
    await publish(opened, "one", CONTENT)
    index = get(opened, index_key(DIGEST))
    await publish(opened, "two", CONTENT)
    put(opened, index_key(DIGEST), index)
    await opened.sweep(-1)
    await opened.discard("one")
    await opened.discard("two")
    assert await read(ObjectStore(opened.service.bucket), DIGEST) == CONTENT
    assert {key.split("/")[1] for key in keys(opened, "segments")} == {"one"}


@pytest.mark.parametrize("conditional", [True, False])
async def test_pushed_by_many_at_once(opened: ObjectStore, conditional: bool) -> None:  # noqa: FBT001
    """However many push one blob at the same moment, it is whole; with conditional writes, nothing else stays."""
    assert opened.service._conditional
    opened.service._conditional = conditional
    await asyncio.gather(*(publish(opened, f"upload{number}", CONTENT) for number in range(8)))
    await opened.sweep(-1)
    assert await read(ObjectStore(opened.service.bucket), DIGEST) == CONTENT
    assert await blobs_of(opened) == {StoredBlob(DIGEST, len(CONTENT))}
    if conditional:
        assert len(keys(opened, "segments")) == 2


async def test_pushed_while_it_is_deleted(opened: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that finds the blob, and then finds it deleted, publishes it all the same."""
    await publish(opened, "one", CONTENT)
    other, replaced = ObjectStore(opened.service.bucket), opened.service.replace

    async def delete_first(*args: Any) -> None:
        await other.delete(DIGEST)
        await replaced(*args)

    monkeypatch.setattr(opened.service, "replace", delete_first)
    await publish(opened, "two", CONTENT)
    await opened.sweep(-1)
    assert await read(ObjectStore(opened.service.bucket), DIGEST) == CONTENT


async def test_crash_while_publishing(opened: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever request of a publication is the last: the blob is whole or not there, and what was staged can go."""
    for number in itertools.count():
        with monkeypatch.context() as patch:
            steps = FailingAfter(opened.service, number, patch)
            try:
                await publish(opened, f"upload{number}", CONTENT)
            except ZeroDivisionError:
                pass
            else:
                break
        fresh = ObjectStore(opened.service.bucket)
        there = is_published(fresh)
        await fresh.discard(f"upload{number}")
        assert await uploads_of(fresh) == set()
        assert there == (DIGEST in {blob.digest for blob in await blobs_of(fresh)})
        if there:
            assert await read(fresh, DIGEST) == CONTENT
            await fresh.delete(DIGEST)
        await fresh.sweep(-1)
        assert keys(fresh) == ["ready"], steps.failed


def is_published(store: ObjectStore) -> bool:
    """Whether there is an index."""
    return bool(keys(store, "blobs"))


class FailingAfter:
    """Lets so many requests to the service through, and fails all that come then."""

    def __init__(self, service: Service, requests: int, patch: pytest.MonkeyPatch) -> None:
        self.failed = ""
        self._left = requests
        for name in ("get", "put", "replace", "delete", "has", "complete"):
            patch.setattr(service, name, self._counted(name, getattr(service, name)))

    def _counted(self, name: str, request: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(*args: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                self.failed = self.failed or name
                raise ZeroDivisionError(name)
            return await request(*args)

        return counted


async def test_lost_segment(opened: ObjectStore) -> None:
    """Where the bytes behind an index are gone, the blob is missing: when it is opened, and when it is read."""
    await publish(opened, "upload", CONTENT)
    async with opened.reader(DIGEST) as reader:
        obstore.delete(opened.service._store, segments(opened))
        with pytest.raises(BlobMissing):
            await reader.read(0, 1)
    await assert_missing(opened, DIGEST)


async def test_completed_though_the_answer_was_lost(
    opened: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment whose last request was done and not answered counts; one that is not there does not."""

    class Lost:
        def __init__(self, file: Any, *, done: bool) -> None:
            self._file, self._done = file, done

        async def write(self, chunk: bytes) -> None:
            await self._file.write(chunk)

        async def close(self) -> None:
            if self._done:
                await self._file.close()
            raise FileNotFoundError("no such upload")

    writer = opened.service.writer
    monkeypatch.setattr(opened.service, "writer", lambda *given: Lost(writer(*given), done=True))
    await publish(opened, "upload", CONTENT)
    assert await read(opened, DIGEST) == CONTENT
    monkeypatch.setattr(opened.service, "writer", lambda *given: Lost(writer(*given), done=False))
    with pytest.raises(Unavailable):
        await publish(opened, "other", b"other")


async def test_service_is_away(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not answer is told of as such, after a few seconds where somebody asks how we are."""
    monkeypatch.setattr(service, "_RETRIES_MAX", 1)
    monkeypatch.setattr(service, "_START_SECONDS_MAX", 0)
    away = ObjectStore(Bucket(s3.new_url(), "http://127.0.0.1:9", REGION, allow_http=True))
    with pytest.raises(Unavailable):
        await away.ping()
    with pytest.raises(OSError, match=r"s3://.* cannot be used"):
        await away.open()
    with pytest.raises(Unavailable):
        await publish(away, "upload", CONTENT)


@pytest.mark.parametrize("size", [10, 5 * service.PART_BYTES])
async def test_service_fails_while_it_is_written_to(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A service that fails in the middle of a segment, of one part or of many, is told of as one that is away."""
    monkeypatch.setattr(service, "_RETRIES_MAX", 1)
    async with faulty(s3.endpoint, 0) as proxy:
        shaky = ObjectStore(replace(s3.new_bucket(), endpoint=proxy.endpoint))
        async with shaky.stage("upload") as upload:
            await upload.write(b"first")
            proxy.share = 1
            with pytest.raises(Unavailable):
                await upload.write(bytes(size))
                await upload.flush()


async def test_answers_are_always_cut(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose answers always break off within their bytes is asked as often as one that fails."""
    monkeypatch.setattr(service, "_RETRIES_MAX", 2)
    async with faulty(s3.endpoint, 1, (CUTS_THE_ANSWER,)) as proxy:
        bucket = s3.new_bucket()
        await Service(bucket).put("key", CONTENT)
        cut = Service(replace(bucket, endpoint=proxy.endpoint))
        with pytest.raises(Unavailable, match="does not answer"):
            await cut.get("key")
        assert proxy.done[CUTS_THE_ANSWER] == 3
        with pytest.raises(Unavailable, match="does not answer"):
            await cut.get_range("key", 0, len(CONTENT))
        assert proxy.done[CUTS_THE_ANSWER] == 6


async def test_wrong_key(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not let in hears so at the start."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(OSError, match=r"s3://.* cannot be used: .* 403 Forbidden"):
        await ObjectStore(s3.new_bucket()).open()


async def test_away_at_the_start(s3: S3Server) -> None:
    """A start without the service says so after some ten seconds."""
    begun = time.monotonic()
    with structlog.testing.capture_logs() as logs, pytest.raises(OSError, match=r"s3://.* cannot be used"):
        await ObjectStore(Bucket(s3.new_url(), "http://127.0.0.1:9", REGION, allow_http=True)).open()
    assert 5 < time.monotonic() - begun < 12
    assert {entry["event"] for entry in logs} == {"object storage fails; trying again"}


@asynccontextmanager
async def answering(*answers: int) -> AsyncIterator[str]:
    """A service that gives these answers, one after the other, to those who want to make an object; its endpoint."""
    left = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = next(left) if b"if-none-match" in head.lower() else 200
        headers = 'ETag: "1"\r\nContent-Length: 0\r\nConnection: close'
        writer.write(f"HTTP/1.1 {status} -\r\n{headers}\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answers", "conditional", "events"),
    [
        ([412], True, []),
        ([409], True, []),
        ([501], False, ["object storage without conditional writes"]),
        ([400], False, ["object storage without conditional writes"]),
        ([200], False, ["object storage ignores the conditions of writes"]),
        ([500, 503, 412], True, ["object storage fails; trying again"] * 2),
    ],
)
async def test_conditional_writes_are_tried_out(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[int],
    conditional: bool,  # noqa: FBT001
    events: list[str],
) -> None:
    """Only a clear answer says whether a service knows conditional writes; what fails is tried again."""
    monkeypatch.setattr(service, "_START_PAUSE_SECONDS", 0.01)
    async with answering(*answers) as endpoint:
        store = ObjectStore(replace(s3.new_bucket(), endpoint=endpoint))
        with structlog.testing.capture_logs() as logs:
            await store.open()
    assert store.service._conditional is conditional
    assert [entry["event"] for entry in logs] == events


async def test_no_credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no credentials are set, so that the machine is asked for its own, it is said which variables to set."""
    monkeypatch.setattr(service, "_START_SECONDS_MAX", 0)
    for name in s3.environment:
        monkeypatch.delenv(name)
    with pytest.raises(OSError, match="no credentials are set: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        await ObjectStore(s3.new_bucket()).open()


async def test_signed_url(opened: ObjectStore, s3: S3Server) -> None:
    """A signed URL lets somebody without keys read the object, or a part of it, and tells no secret."""
    await publish(opened, "upload", CONTENT)
    async with opened.reader(DIGEST) as reader:
        url = await reader.url(60)
    assert url
    assert s3.secret_key not in url
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).content == CONTENT
        assert (await client.get(url, headers={"range": "bytes=2-3"})).content == CONTENT[2:4]
        assert (await client.get(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"))).status_code == 403


async def unfinished(store: ObjectStore, upload: str) -> None:
    """Leave a multipart upload behind, as a killed replica does."""
    async with store.stage(upload) as held:
        for _ in range(3 * PART_BYTES // CHUNK_BYTES):
            await held.write(bytes(CHUNK_BYTES))


def multipart_uploads(store: ObjectStore) -> int:
    """How many of the store's multipart uploads the service knows."""
    return len(list(multipart._listed(multipart._client(store.service.bucket), store.service.bucket)))


async def test_abandoned_multipart_uploads(opened: ObjectStore) -> None:
    """What a killed replica was sending is found and removed when it is old, unless somebody is at work on it."""
    await unfinished(opened, "upload")
    assert multipart_uploads(opened) == 1
    assert await opened.sweep(3600) == 0
    assert await multipart.abort_abandoned(opened.service.bucket, time.time() + 1, {"upload"}) == 0
    assert (
        await ObjectStore(replace(opened.service.bucket, url=f"{opened.service.bucket.url}/x")).sweep(-1) == 0
    )
    assert multipart_uploads(opened) == 1
    assert await opened.sweep(-1) == 1
    assert multipart_uploads(opened) == 0
    await opened.discard("upload")
    assert keys(opened) == ["ready", "x/ready"]


async def test_multipart_uploads_may_not_be_listed(
    opened: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the right to list them is missing that is logged, and what else is to be swept is."""
    await publish(opened, "upload", CONTENT)
    await opened.delete(DIGEST)
    monkeypatch.setenv(
        "AWS_SECRET_ACCESS_KEY", "of somebody with fewer rights"
    )  # the store has read its own already
    with structlog.testing.capture_logs() as logs:
        assert await opened.sweep(-1) == 1
    assert [entry["event"] for entry in logs] == ["unfinished multipart uploads could not be removed"]
    assert keys(opened) == ["ready"]


@pytest.mark.parametrize(
    ("url", "name", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket/a/b/", "bucket", "a/b"),
        ("gs://bucket/a", "bucket", "a"),
        ("az://account/bucket", "bucket", ""),
        ("az://account/bucket/a/b/", "bucket", "a/b"),
    ],
)
def test_bucket(url: str, name: str, prefix: str) -> None:
    """A URL says the bucket's name and the prefix of all keys."""
    assert (Bucket(url).name, Bucket(url).prefix) == (name, prefix)


async def test_snapshot_that_takes_long(opened: ObjectStore) -> None:
    """A snapshot that is being written is not taken for an abandoned one until a day later."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(PART_BYTES)
        begun.set()
        await go_on.wait()

    saving = asyncio.create_task(opened.journal.save(7, pieces()))
    await begun.wait()
    assert multipart_uploads(opened) == 1
    assert await opened.sweep(-1) == 0
    go_on.set()
    await saving
    assert [snapshot.until async for snapshot in opened.journal.snapshots()] == [7]


async def test_abandoned_snapshot(opened: ObjectStore) -> None:
    """One that nobody will finish is removed a day later."""
    file = opened.service.writer("snapshots/abandoned")
    for _ in range(3):
        await opened.service.write(file, bytes(PART_BYTES))
    day = 86_400
    assert await multipart.abort_abandoned(opened.service.bucket, time.time() + day - 60, ()) == 0
    assert await multipart.abort_abandoned(opened.service.bucket, time.time() + day + 60, ()) == 1
    assert multipart_uploads(opened) == 0
