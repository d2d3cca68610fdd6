"""The object store keeps the contract on a service of another make, which knows no conditional writes."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from registry.storage.objects.store import ObjectStore
from tests.storage.contract import CONTENT, DIGEST, publish, read
from tests.storage.test_objects import ObjectStoreContract, keys, multipart_uploads, unfinished
from tests.swift import running_swift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.s3 import S3Server

pytestmark = [pytest.mark.anyio, pytest.mark.objects]


@pytest.fixture(scope="session")
def swift() -> Iterator[S3Server]:
    """Give a service with a bucket, started when the first test asks for it."""
    with running_swift() as server:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment.items():
                patch.setenv(name, value)
            server.make_bucket(server.new_bucket())
        yield server


@pytest.fixture
def store(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Give an empty store."""
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    with closing(ObjectStore(swift.new_bucket())) as store:
        yield store


class TestObjectStoreOnSwift(ObjectStoreContract):
    """See the contract."""

    @pytest.fixture
    def store(self, store: ObjectStore) -> ObjectStore:
        """Give an empty store."""
        return store


async def test_pushed_by_many_at_once(store: ObjectStore) -> None:
    """However many push one blob at the same moment, it is whole."""
    await store.open()
    assert not store.service._conditional
    await asyncio.gather(*(publish(store, f"upload{number}", CONTENT) for number in range(8)))
    await store.sweep(-1)
    assert await read(ObjectStore(store.service.bucket), DIGEST) == CONTENT


async def test_abandoned_multipart_uploads(store: ObjectStore) -> None:
    """What a killed replica was sending is found and removed here too."""
    await store.open()
    await unfinished(store, "upload")
    assert multipart_uploads(store) == 1
    assert await store.sweep(-1) == 1
    await store.discard("upload")
    assert multipart_uploads(store) == 0
    assert keys(store) == ["ready"]
