"""The client that holds a registry to its offsets: it finds what was forgotten, and takes a crash of Postgres for an excuse."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import httpx
import pytest

from registry.testing import OciRegistry
from tests.faults.client import Client, Refused
from tests.faults.ledger import Ledger
from tests.replicas.resuming import Forgotten, Resuming

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(oci_registry: OciRegistry) -> AsyncIterator[Client]:
    """Give a client of a real registry."""
    async with httpx.AsyncClient(base_url=oci_registry.url, trust_env=False) as http:
        yield Client(http, Ledger())


async def begun(client: Client, forgetful_until: float = 0) -> Resuming:
    """An upload of which ten bytes were acknowledged."""
    upload = Resuming(client, "team/app", lambda: forgetful_until)
    await upload.begin()
    await upload.append(0, bytes(10))
    return upload


async def test_nothing_is_forgotten(client: Client) -> None:
    """A registry that keeps its word is believed."""
    upload = await begun(client)
    assert await upload.stands_at() == 10
    await upload.append(10, bytes(5))
    await upload.finish(bytes(20), await upload.stands_at())


async def test_upload_is_forgotten(client: Client) -> None:
    """An upload that is unknown all at once is an error of the registry's, for who asks and for who goes on."""
    upload = await begun(client)
    await client.ask(204, "DELETE", upload.upload)
    with pytest.raises(Forgotten, match="10 bytes were acknowledged"):
        await upload.stands_at()
    with pytest.raises(Forgotten):
        await upload.append(10, bytes(5))


async def test_bytes_are_forgotten(client: Client) -> None:
    """So is an offset below the one that was acknowledged last, whether it is told or only meant."""
    upload, other = await begun(client), await begun(client)
    await upload.append(10, bytes(5))
    upload.upload = other.upload
    with pytest.raises(Forgotten, match="stands at 10"):
        await upload.stands_at()
    with pytest.raises(Forgotten, match="416"):
        await upload.append(15, bytes(5))


async def test_crash_is_an_excuse(client: Client) -> None:
    """What was acknowledged before the end of a crash may be gone; what was acknowledged after it may not."""
    upload = await begun(client, math.inf)
    await client.ask(204, "DELETE", upload.upload)
    with pytest.raises(Refused, match="404"):
        await upload.stands_at()


async def test_unknown_at_its_end(client: Client) -> None:
    """Who has asked for the end of an upload may hear that it is unknown: it may have ended."""
    upload = await begun(client)
    await upload.finish(bytes(10), 10)
    with pytest.raises(Refused, match="404"):
        await upload.stands_at()
