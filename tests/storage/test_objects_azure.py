"""The object store keeps the contract on Azure Blob Storage, as Azurite has it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from registry.storage.objects.store import ObjectStore
from tests.azurite import Azurite, running_azurite
from tests.storage.contract import CONTENT, DIGEST, publish, read
from tests.storage.test_objects import ObjectStoreContract, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.anyio, pytest.mark.objects]


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Give a service with a container, started when the first test asks for it."""
    with running_azurite() as service:
        yield service


@pytest.fixture
def store(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Give an empty store."""
    for name, value in azurite.environment.items():
        monkeypatch.setenv(name, value)
    with closing(ObjectStore(azurite.new_bucket())) as store:
        yield store


class TestObjectStoreOnAzure(ObjectStoreContract):
    """See the contract."""

    @pytest.fixture
    def store(self, store: ObjectStore) -> ObjectStore:
        """Give an empty store."""
        return store


async def test_pushed_by_many_at_once(store: ObjectStore) -> None:
    """However many push one blob at the same moment, it is whole, and nothing else stays."""
    await store.open()
    assert store.service._conditional
    await asyncio.gather(*(publish(store, f"upload{number}", CONTENT) for number in range(8)))
    await store.sweep(-1)
    assert await read(ObjectStore(store.service.bucket), DIGEST) == CONTENT
    assert len(keys(store, "segments")) == 2


async def test_signed_url(store: ObjectStore, azurite: Azurite) -> None:
    """A signed URL lets somebody without keys read the object, or a part of it, and tells no secret."""
    await store.open()
    await publish(store, "upload", CONTENT)
    async with store.reader(DIGEST) as reader:
        url = await reader.url(60)
    assert url
    assert azurite.key not in url
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).content == CONTENT
        assert (await client.get(url, headers={"range": "bytes=2-3"})).content == CONTENT[2:4]
        assert (await client.get(url.replace("sig=", "sig=0"))).status_code == 403
