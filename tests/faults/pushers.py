"""Clients that push, move tags, mount and delete without end, each in a repository of its own."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx

from tests.faults.client import Client, Manifest, Refused, image

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.ledger import Ledger

PUSHERS = 8
_TAGS = 4
_LAYER_BYTES_MAX = 200_000


@asynccontextmanager
async def pushing(base_url: str, ledger: Ledger, seed: int, prefix: str = "r") -> AsyncIterator[list[int]]:
    """Push as long as the block lasts; the list counts images that were acknowledged.

    `prefix`: of the repositories' names; a ledger knows one client for each.
    """
    images = [0]
    limits = httpx.Limits(max_connections=PUSHERS)
    async with httpx.AsyncClient(base_url=base_url, timeout=20, limits=limits, trust_env=False) as http:
        client = Client(http, ledger)
        tasks = [
            asyncio.create_task(_push_forever(client, number, seed, images, prefix))
            for number in range(PUSHERS)
        ]
        try:
            yield images
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes


async def _push_forever(client: Client, number: int, seed: int, images: list[int], prefix: str) -> None:
    own, neighbour = f"{prefix}{number}", f"{prefix}{(number + 1) % PUSHERS}"
    chance = random.Random(f"{seed} {number}")  # noqa: S311 (a test that can be repeated)
    old: list[tuple[Manifest, str]] = []
    while True:
        try:
            old.append(await _push_image(client, own, neighbour, chance))
            images[0] += 1
            if len(old) > _TAGS:
                manifest, layer = old.pop(0)
                await client.delete_manifest(own, manifest.digest)
                await client.delete_blob(own, layer)
            if chance.random() < 0.3:
                await client.untag(own, f"t{chance.randrange(_TAGS)}")
        except Refused as refused:
            assert refused.status in {0, 404}, refused  # cut off, or the tag was not there
            await asyncio.sleep(0.02)


async def _push_image(
    client: Client, repository: str, neighbour: str, chance: random.Random
) -> tuple[Manifest, str]:
    """An image, and the digest of its layer, which the neighbour has mounted, too."""
    content = chance.randbytes(chance.randrange(2, _LAYER_BYTES_MAX))
    push = chance.choice([client.push, client.push_by_put, client.push_streamed, client.push_chunked])
    layer = await push(repository, content)
    config = chance.randbytes(50)
    await client.push(repository, config)
    manifest = image(config, [(layer, len(content))])
    await client.put(repository, manifest, f"t{chance.randrange(_TAGS)}")
    with suppress(Refused):
        await client.mount(neighbour, layer, repository)
    return manifest, layer
