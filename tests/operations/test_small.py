"""Small blobs in memory: the bytes named, seen only where the rows say so, and never more than so many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from registry.oci.digest import Digest
from registry.oci.errors import BlobUnknown
from registry.operations import blobs, uploads
from registry.operations.small import SmallBlob, SmallBlobs
from registry.policy.redirection import EVERYBODY, RedirectRules
from tests.support.images import blob, blob_digest
from tests.support.registries import APP, COPY, changed, push_blobs, read_blob, stream

if TYPE_CHECKING:
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

BASE: Final = blob_digest("base")
LARGEST: Final = 64 * 1024
IN_ALL: Final = 16 * 1024 * 1024


async def replace_with(registry: Registry, content: bytes) -> None:
    """Put other bytes under the digest of "base", behind the registry's back."""
    async with registry.store.stage("rot") as staged:
        await staged.write(content)
        await staged.publish(BASE)


async def keep(small: SmallBlobs, content: bytes) -> Digest:
    """Read a blob with this content from a store; its digest."""
    digest = Digest.of(content)
    await small.keep(digest, SmallBlob(content))
    return digest


async def test_read_from_memory(registry: Registry) -> None:
    """A small blob that was read once is read again without the store, in parts too."""
    await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")
    await registry.store.delete(BASE)
    assert await read_blob(registry, APP, BASE) == blob("base")
    async with blobs.reader(registry, APP, BASE) as reader:
        assert (reader.file, await reader.url(1)) == (None, None)
        assert await reader.read(4, 7) == blob("base")[4:11]


async def test_rows_decide_who_sees_it(registry: Registry) -> None:
    """That a blob is in memory shows it to no other repository, and to none from which it was deleted."""
    await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")
    with pytest.raises(BlobUnknown):
        await read_blob(registry, COPY, BASE)
    await blobs.delete(registry, APP, BASE)
    with pytest.raises(BlobUnknown):
        await read_blob(registry, APP, BASE)


async def test_rotten_bytes_are_not_kept(registry: Registry) -> None:
    """Bytes that are not those of the digest never stay in memory: once a push has mended them, the right ones are read."""
    await push_blobs(registry, APP, "base")
    await replace_with(registry, b"?" * len(blob("base")))
    assert await read_blob(registry, APP, BASE) != blob("base")
    await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")


@pytest.mark.parametrize("size", [0, LARGEST, LARGEST + 1])
async def test_only_small_ones(registry: Registry, size: int) -> None:
    """What is larger than 64 KiB is read from the store each time."""
    content = b"x" * size
    digest = Digest.of(content, "sha512")
    await uploads.push(registry, APP, digest, stream(content))
    assert await read_blob(registry, APP, digest) == content
    assert (registry.small.get(digest) is not None) == (size <= LARGEST)


async def test_none_where_clients_are_sent_to_the_store(registry: Registry) -> None:
    """Where clients may be sent to the storage service, nothing is kept that would have no URL."""
    sending = changed(registry, redirect=RedirectRules(EVERYBODY))
    await push_blobs(sending, APP, "base")
    assert await read_blob(sending, APP, BASE) == blob("base")
    assert sending.small.get(BASE) is None


async def test_oldest_go_first() -> None:
    """When there are too many, those go that nobody has asked for the longest."""
    small = SmallBlobs()
    contents = [b"%d" % number + b"." * (LARGEST - 4) for number in range(IN_ALL // LARGEST)]
    first, second = [await keep(small, content) for content in contents[:2]]
    for content in contents[2:]:
        assert small.get(first) is not None
        await keep(small, content)
    assert small.get(first) is not None
    assert small.get(second) is None
    assert small.get(Digest.of(contents[-1])) is not None


async def test_tiny_ones_count_with_what_they_take() -> None:
    """Very many blobs of a few bytes do not take more memory than large ones."""
    small = SmallBlobs()
    first = await keep(small, b"first")
    for number in range(IN_ALL // 512):
        await keep(small, b"%d" % number)
    assert small.get(first) is None


async def test_kept_twice_counts_once() -> None:
    """Two requests that have read the same blob at the same time keep it once."""
    small = SmallBlobs()
    digest = await keep(small, b"first")
    for _ in range(IN_ALL // LARGEST):
        await keep(small, b"x" * LARGEST)
    assert small.get(digest) is not None
