"""The contract of `registry/storage/contract.py`, promise by promise: every store keeps it.

A new store is tested by one class: it derives from `ExclusiveStoreContract` or `StatefulStoreContract`, as promise 3
leaves the choice, gives the store in the fixture `store`, and three back doors past it, so that a test of reading does
not depend on the writing that another test is about.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import pytest

from registry.oci.digest import Digest
from registry.storage.contract import (
    CHUNK_BYTES,
    BlobMissing,
    StagedBusy,
    StagedBytesLost,
    StagedUpload,
    StoredBlob,
)

if TYPE_CHECKING:
    from registry.storage.contract import BlobStore

CONTENT: Final = b"a layer"
DIGEST: Final = Digest.of(CONTENT)
MORE_THAN_A_CHUNK: Final = bytes(range(256)) * 4096 * 2 + b"and a rest"


class BlobStoreContract(ABC):
    """What holds for every store."""

    @abstractmethod
    def store(self) -> BlobStore:
        """Give an empty store, not opened yet (a fixture)."""

    @abstractmethod
    def put_blob(self, store: Any, digest: Digest, content: bytes) -> None:
        """Put a published blob there, past the store."""

    @abstractmethod
    def get_blob(self, store: Any, digest: Digest) -> bytes | None:
        """Look what is published, past the store."""

    @abstractmethod
    def put_staged(self, store: Any, upload: str, content: bytes) -> str:
        """Put staged bytes there, past the store; the state to go on from."""

    @pytest.fixture(autouse=True)
    async def opened(self, store: BlobStore) -> None:
        """Make the store ready."""
        await store.open()

    # Readiness

    async def test_open_twice(self, store: BlobStore) -> None:
        """Opening a store that is in use already leaves what is in it."""
        self.put_blob(store, DIGEST, CONTENT)
        await store.open()
        assert self.get_blob(store, DIGEST) == CONTENT

    async def test_ping(self, store: BlobStore) -> None:
        """A store that works answers, and the question leaves nothing behind."""
        await store.ping()
        assert await blobs_of(store) == set()
        assert await uploads_of(store) == set()

    async def test_description(self, store: BlobStore) -> None:
        """A store can tell a person where the bytes lie."""
        assert store.description

    # 1: only publishing makes bytes visible, all at once

    async def test_staged_bytes_are_not_visible(self, store: BlobStore) -> None:
        """Before it is published, a blob is neither read nor listed, however complete its bytes are."""
        async with store.stage("upload") as staged:
            await staged.write(CONTENT)
            await assert_missing(store, DIGEST)
            assert await blobs_of(store) == set()
            assert self.get_blob(store, DIGEST) is None
        await assert_missing(store, DIGEST)

    async def test_published_bytes_are_visible(self, store: BlobStore) -> None:
        """What was staged is, once published, the blob."""
        await publish(store, "upload", CONTENT)
        assert self.get_blob(store, DIGEST) == CONTENT
        assert await read(store, DIGEST) == CONTENT

    async def test_publish_ends_the_upload(self, store: BlobStore) -> None:
        """Published bytes are staged no longer: the same id begins with nothing, and cannot change the blob."""
        await publish(store, "upload", CONTENT)
        assert await uploads_of(store) == set()
        async with store.stage("upload") as staged:
            assert staged.size == 0
            await staged.write(b"something else")
        assert self.get_blob(store, DIGEST) == CONTENT

    async def test_size_is_known_after_publishing(self, store: BlobStore) -> None:
        """The holder can still ask for the size once the bytes are published."""
        async with store.stage("upload") as staged:
            await staged.write(CONTENT)
            await staged.publish(DIGEST)
            assert staged.size == len(CONTENT)

    async def test_empty_blob(self, store: BlobStore) -> None:
        """A blob of no bytes is a blob."""
        await publish(store, "upload", b"")
        assert self.get_blob(store, Digest.of(b"")) == b""
        assert await read(store, Digest.of(b"")) == b""

    async def test_sha512(self, store: BlobStore) -> None:
        """A blob is known by the digest that it was published under, of any algorithm, and by no other."""
        digest = Digest.of(CONTENT, "sha512")
        await publish(store, "upload", CONTENT, digest)
        assert await read(store, digest) == CONTENT
        await assert_missing(store, DIGEST)

    # 3: what several write does not mix

    async def test_hold_ends_with_its_block(self, store: BlobStore) -> None:
        """After the block, with an error or without, the next one may hold."""
        with pytest.raises(ZeroDivisionError):
            async with store.stage("upload") as staged:
                await staged.write(CONTENT)
                await staged.flush()
                raise ZeroDivisionError
        async with store.stage("upload", staged.state) as staged:
            assert staged.size == len(CONTENT)
        async with store.stage("upload", staged.state):
            pass

    async def test_uploads_do_not_hinder_each_other(self, store: BlobStore) -> None:
        """Two uploads are held, and written to, at the same time."""
        async with store.stage("one") as one, store.stage("two") as two:
            await one.write(b"1")
            await two.write(b"22")
            await one.flush()
            await two.flush()
            assert (await staged_bytes(one), await staged_bytes(two)) == (b"1", b"22")

    # 4: staged bytes wait for their next holder

    async def test_new_upload_has_no_bytes(self, store: BlobStore) -> None:
        """The bytes of an id that was never used are none."""
        async with store.stage("upload") as staged:
            assert staged.size == 0
            assert await staged_bytes(staged) == b""

    async def test_next_holder_finds_the_bytes(self, store: BlobStore) -> None:
        """What one holder wrote, the next one reads, and appends to."""
        async with store.stage("upload") as staged:
            await staged.write(b"one")
            await staged.flush()
            assert staged.flushed == 3
        async with store.stage("upload", staged.state) as staged:
            assert (staged.size, staged.flushed) == (3, 3)
            await staged.write(b" two")
            assert staged.size == 7
            await staged.flush()
            assert await staged_bytes(staged) == b"one two"

    async def test_staged_bytes_are_read_from_the_first_on(self, store: BlobStore) -> None:
        """Reading gives all bytes, of many pieces too, and leaves the place to write at where it was."""
        state = self.put_staged(store, "upload", MORE_THAN_A_CHUNK)
        async with store.stage("upload", state) as staged:
            assert await staged_bytes(staged) == MORE_THAN_A_CHUNK
            await staged.write(b"!")
            await staged.flush()
            assert await staged_bytes(staged) == MORE_THAN_A_CHUNK + b"!"

    async def test_pieces_of_any_size_are_written(self, store: BlobStore) -> None:
        """Pieces are appended one behind the other, empty and large ones as well."""
        async with store.stage("upload") as staged:
            for piece in (b"", b"x", MORE_THAN_A_CHUNK, b"", b"y"):
                await staged.write(piece)
            await staged.flush()
            assert await staged_bytes(staged) == b"x" + MORE_THAN_A_CHUNK + b"y"

    @pytest.mark.parametrize("size", [0, 1, 6, 7])
    async def test_cut(self, store: BlobStore, size: int) -> None:
        """Cutting keeps the first bytes; what is written next comes behind them."""
        state = self.put_staged(store, "upload", CONTENT)
        async with store.stage("upload", state) as staged:
            await staged.cut(size)
            assert staged.size == size
            await staged.write(b"!")
            await staged.flush()
        async with store.stage("upload", staged.state) as staged:
            assert await staged_bytes(staged) == CONTENT[:size] + b"!"

    async def test_cut_behind_the_end(self, store: BlobStore) -> None:
        """To cut where nothing is means that bytes were lost; what is there stays."""
        state = self.put_staged(store, "upload", CONTENT)
        async with store.stage("upload", state) as staged:
            with pytest.raises(StagedBytesLost):
                await staged.cut(len(CONTENT) + 1)
            assert await staged_bytes(staged) == CONTENT

    async def test_what_was_cut_is_not_published(self, store: BlobStore) -> None:
        """Bytes that were cut away are in no blob."""
        state = self.put_staged(store, "upload", CONTENT + b" and what nobody acknowledged")
        async with store.stage("upload", state) as staged:
            await staged.cut(len(CONTENT))
            await staged.publish(DIGEST)
        assert self.get_blob(store, DIGEST) == CONTENT

    async def test_uploads_are_listed(self, store: BlobStore) -> None:
        """Staged bytes are listed with the time of the last write, whether they are held or not."""
        before = time.time() - 1
        async with store.stage("one") as staged:
            await staged.write(CONTENT)
        async with store.stage("two") as staged:
            await staged.write(CONTENT)
            found = await uploads_of(store)
        assert {upload.upload for upload in found} == {"one", "two"}
        assert all(before <= upload.modified <= time.time() + 1 for upload in found)

    # 5: publishing what is there already

    async def test_publish_again(self, store: BlobStore) -> None:
        """The second push of a blob succeeds, and there is one blob."""
        for upload in ("one", "two"):
            await publish(store, upload, CONTENT)
        assert await blobs_of(store) == {StoredBlob(DIGEST, len(CONTENT))}
        assert await uploads_of(store) == set()

    async def test_publish_mends(self, store: BlobStore) -> None:
        """The bytes of the second push are the blob: that is how a rotten one is brought back."""
        self.put_blob(store, DIGEST, b"rotten")
        await publish(store, "upload", CONTENT)
        assert self.get_blob(store, DIGEST) == CONTENT

    async def test_publish_while_it_is_read(self, store: BlobStore) -> None:
        """A reader that is underway reads on when the blob is published again."""
        self.put_blob(store, DIGEST, CONTENT)
        async with store.reader(DIGEST) as reader:
            await publish(store, "upload", CONTENT)
            assert await reader.read(0, 100) == CONTENT

    # 6: discarding, deleting, reading

    async def test_discard(self, store: BlobStore) -> None:
        """Discarded bytes are gone: the same id begins with nothing."""
        self.put_staged(store, "upload", CONTENT)
        await store.discard("upload")
        assert await uploads_of(store) == set()
        async with store.stage("upload") as staged:
            assert staged.size == 0

    async def test_discard_nothing(self, store: BlobStore) -> None:
        """To discard what is not there is no error, and makes nothing."""
        await store.discard("upload")
        assert await uploads_of(store) == set()

    async def test_delete(self, store: BlobStore) -> None:
        """A deleted blob is missing; others are not."""
        other = Digest.of(b"other")
        self.put_blob(store, DIGEST, CONTENT)
        self.put_blob(store, other, b"other")
        await store.delete(DIGEST)
        await assert_missing(store, DIGEST)
        assert self.get_blob(store, DIGEST) is None
        assert await read(store, other) == b"other"

    async def test_delete_nothing(self, store: BlobStore) -> None:
        """To delete what is not there is no error."""
        await store.delete(DIGEST)

    async def test_publish_after_delete(self, store: BlobStore) -> None:
        """A blob comes back with the next push."""
        self.put_blob(store, DIGEST, CONTENT)
        await store.delete(DIGEST)
        await publish(store, "upload", CONTENT)
        assert await read(store, DIGEST) == CONTENT

    async def test_delete_while_it_is_read(self, store: BlobStore) -> None:
        """Who has opened a blob reads it to its end, though it is deleted meanwhile."""
        self.put_blob(store, DIGEST, CONTENT)
        async with store.reader(DIGEST) as reader:
            await store.delete(DIGEST)
            assert reader.size == len(CONTENT)
            assert await reader.read(0, 100) == CONTENT

    async def test_missing_blob(self, store: BlobStore) -> None:
        """To read what was never published is an error that says so."""
        await assert_missing(store, DIGEST)

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 7), (0, 3), (3, 2), (6, 1), (5, 100), (0, 100), (7, 1), (8, 1), (3, 0), (100, 100)],
    )
    async def test_read_a_part(self, store: BlobStore, offset: int, length: int) -> None:
        """Reading gives the bytes from the offset on, as many as are asked for and there."""
        self.put_blob(store, DIGEST, CONTENT)
        async with store.reader(DIGEST) as reader:
            assert reader.size == len(CONTENT)
            assert await reader.read(offset, length) == CONTENT[offset : offset + length]

    async def test_file_holds_the_blob(self, store: BlobStore) -> None:
        """Where a store offers a file for the kernel to send from, it holds the blob, and nothing else."""
        for content in (CONTENT, MORE_THAN_A_CHUNK):
            self.put_blob(store, Digest.of(content), content)
            async with store.reader(Digest.of(content)) as reader:
                if reader.file is not None:
                    assert os.pread(reader.file, len(content) + 1, 0) == content

    async def test_close(self, store: BlobStore) -> None:
        """A store that is closed has let its threads go."""
        before = threading.active_count()
        async with store.stage("upload") as staged:
            await staged.write(CONTENT)
        store.close()
        assert threading.active_count() <= before

    async def test_read_in_any_order(self, store: BlobStore) -> None:
        """Each read names its place, so that their order does not matter; readers do not disturb each other."""
        self.put_blob(store, Digest.of(MORE_THAN_A_CHUNK), MORE_THAN_A_CHUNK)
        digest = Digest.of(MORE_THAN_A_CHUNK)
        async with store.reader(digest) as one, store.reader(digest) as two:
            end = await one.read(CHUNK_BYTES, len(MORE_THAN_A_CHUNK))
            start = await two.read(0, CHUNK_BYTES)
            assert start + end == MORE_THAN_A_CHUNK
            assert await one.read(0, CHUNK_BYTES) == start

    async def test_blobs_are_listed(self, store: BlobStore) -> None:
        """Every published blob is listed once, with its size; staged bytes are not."""
        contents = [b"", CONTENT, b"other", *(bytes([number]) for number in range(20))]
        wanted = {StoredBlob(Digest.of(content), len(content)) for content in contents}
        wanted.add(StoredBlob(Digest.of(CONTENT, "sha512"), len(CONTENT)))
        for content in contents:
            self.put_blob(store, Digest.of(content), content)
        self.put_blob(store, Digest.of(CONTENT, "sha512"), CONTENT)
        self.put_staged(store, "upload", CONTENT)
        assert await blobs_of(store) == wanted

    async def test_sweep_leaves_what_has_a_name(self, store: BlobStore) -> None:
        """Sweeping takes nothing away that is published or staged, however old it is."""
        await publish(store, "one", CONTENT)
        await publish(store, "two", CONTENT)
        async with store.stage("upload") as staged:
            await staged.write(b"one")
            await staged.flush()
        await store.sweep(-1)
        assert await read(store, DIGEST) == CONTENT
        async with store.stage("upload", staged.state) as staged:
            assert await staged_bytes(staged) == b"one"

    # 8: strays

    async def test_what_has_a_name_is_no_stray(self, store: BlobStore) -> None:
        """What is published, or staged, or was deleted a moment ago, is not told of as bytes that nothing names."""
        await publish(store, "one", CONTENT)
        await publish(store, "two", CONTENT)
        await publish(store, "three", b"other")
        await store.delete(Digest.of(b"other"))
        async with store.stage("upload") as staged:
            await staged.write(CONTENT)
            await staged.flush()
            assert [stray async for stray in store.strays()] == []
        assert [stray async for stray in store.strays()] == []


class ExclusiveStoreContract(BlobStoreContract):
    """What holds where staged bytes are held by one at a time."""

    async def test_held_bytes_are_busy(self, store: BlobStore) -> None:
        """While one holds the staged bytes, nobody else can hold or discard them."""
        async with store.stage("upload") as staged:
            await staged.write(CONTENT)
            with pytest.raises(StagedBusy):
                async with store.stage("upload"):
                    pytest.fail("held twice")
            with pytest.raises(StagedBusy):
                await store.discard("upload")
            assert staged.size == len(CONTENT)

    async def test_refused_holder_takes_nothing_away(self, store: BlobStore) -> None:
        """Who is refused does not end the hold of who holds."""
        async with store.stage("upload"):
            for _ in range(2):
                with pytest.raises(StagedBusy):
                    async with store.stage("upload"):
                        pytest.fail("held twice")

    async def test_there_is_no_state(self, store: BlobStore) -> None:
        """Nothing has to be kept to find the bytes again, and everything that was written counts."""
        async with store.stage("upload") as staged:
            await staged.write(CONTENT)
            assert (staged.state, staged.flushed) == ("", len(CONTENT))


class StatefulStoreContract(BlobStoreContract):
    """What holds where each holder goes on for itself, from the state that it was given."""

    async def test_two_holders(self, store: BlobStore) -> None:
        """What two write from the same state stays apart: whose state is kept, whose bytes are there."""
        before = self.put_staged(store, "upload", b"one")
        async with store.stage("upload", before) as first, store.stage("upload", before) as second:
            await first.write(b" two")
            await second.write(b" three")
            await second.flush()
            await first.flush()
        for state, content in ((before, b"one"), (first.state, b"one two"), (second.state, b"one three")):
            async with store.stage("upload", state) as staged:
                assert await staged_bytes(staged) == content

    async def test_who_is_published_counts(self, store: BlobStore) -> None:
        """A blob has the bytes of the holder that published it, and none of another's, who is still writing."""
        before = self.put_staged(store, "upload", CONTENT[:3])
        async with store.stage("upload", before) as first, store.stage("upload", before) as second:
            await second.write(b"else")
            await second.flush()
            await first.write(CONTENT[3:])
            await first.publish(DIGEST)
            await second.write(b"more")
            await second.flush()
        await store.discard("upload")
        assert await read(store, DIGEST) == self.get_blob(store, DIGEST) == CONTENT
        assert await uploads_of(store) == set()

    async def test_what_is_not_flushed_does_not_count(self, store: BlobStore) -> None:
        """The state tells of flushed bytes alone, and of how many they are."""
        async with store.stage("upload") as staged:
            await staged.write(b"one")
            await staged.flush()
            await staged.write(b" two")
            assert (staged.flushed, staged.size) == (3, 7)
            state = staged.state
        async with store.stage("upload", state) as staged:
            assert await staged_bytes(staged) == b"one"

    async def test_lost_bytes(self, store: BlobStore) -> None:
        """Where bytes that the state tells of are gone, they are neither read nor published."""
        state = self.put_staged(store, "upload", CONTENT)
        await store.discard("upload")
        async with store.stage("upload", state) as staged:
            with pytest.raises(StagedBytesLost):
                await staged_bytes(staged)
            with pytest.raises(StagedBytesLost):
                await staged.publish(DIGEST)
        await assert_missing(store, DIGEST)


async def publish(store: BlobStore, upload: str, content: bytes, digest: Digest | None = None) -> None:
    """Stage the content and publish it."""
    async with store.stage(upload) as staged:
        await staged.write(content)
        await staged.publish(digest or Digest.of(content))


async def read(store: BlobStore, digest: Digest) -> bytes:
    """The whole blob."""
    async with store.reader(digest) as reader:
        return await reader.read(0, reader.size)


async def staged_bytes(staged: Any) -> bytes:
    """All staged bytes."""
    return b"".join([piece async for piece in staged.read()])


async def blobs_of(store: BlobStore) -> set[StoredBlob]:
    """The blobs that the store lists, each of them once."""
    listed = [blob async for blob in store.blobs()]
    assert len(listed) == len(set(listed))
    return set(listed)


async def uploads_of(store: BlobStore) -> set[StagedUpload]:
    """The staged uploads that the store lists."""
    return {upload async for upload in store.uploads()}


async def assert_missing(store: BlobStore, digest: Digest) -> None:
    """No reader sees the blob."""
    with pytest.raises(BlobMissing):
        async with store.reader(digest):
            pytest.fail("a reader sees it")
