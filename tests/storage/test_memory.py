"""The memory store keeps the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.storage.memory import MemoryStore
from tests.storage.contract import ExclusiveStoreContract, publish

if TYPE_CHECKING:
    from registry.oci.digest import Digest

pytestmark = pytest.mark.anyio


class TestMemoryStore(ExclusiveStoreContract):
    """See the contract."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        """Give an empty store."""
        return MemoryStore()

    def put_blob(self, store: MemoryStore, digest: Digest, content: bytes) -> None:
        """See the contract."""
        store._blobs[digest] = content

    def get_blob(self, store: MemoryStore, digest: Digest) -> bytes | None:
        """See the contract."""
        return store._blobs.get(digest)

    def put_staged(self, store: MemoryStore, upload: str, content: bytes) -> str:
        """See the contract."""
        store._staged[upload] = bytearray(content)
        return ""


async def test_nothing_is_kept_of_uploads_that_ended() -> None:
    """Memory holds blobs and staged bytes, nothing of uploads that were published or discarded."""
    store = MemoryStore()
    await publish(store, "published", b"content")
    async with store.stage("discarded") as staged:
        await staged.write(b"content")
    await store.discard("discarded")
    assert (store._staged, store._modified, store._held) == ({}, {}, set())
