"""Clients as they are: each pushes, pulls, mounts and deletes in its repository, and tries again when it is not answered."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from tests.faults.client import Client, Manifest, Refused, digest_of, image, index
from tests.faults.ledger import ANY_TYPE, Ledger
from tests.replicas.resuming import Resuming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

T = TypeVar("T")

CLIENTS: Final = 8
NOT_FOUND: Final = 404
AGAIN: Final = frozenset({0, 502, 503, 504})
"""No answer at all; nginx without a replica; a replica without its database or its bucket."""
GONE: Final = frozenset({NOT_FOUND, 416})
"""An upload of which nobody knows any more, or that stands elsewhere: it is begun anew."""

_TAGS: Final = ("t0", "t1", "t2", "t3", "t4")
_KEPT_MAX: Final = 6
_SOMETIMES: Final = 0.3
_SMALL_BYTES: Final = (2, 200_000)
_LARGE_BYTES: Final = (9_000_000, 20_000_000)
"""These take a multipart upload of the bucket, of two or three parts."""
_LARGE: Final = 0.15
_BASE: Final = random.Random("base").randbytes(300_000)  # noqa: S311 - no secret
"""What everybody has."""
_HASTE_SECONDS_MAX: Final = 0.3
_ABANDONED_BYTES: Final = 100_000
_PATIENCE_SECONDS: Final = 150
_ANSWER_SECONDS_MAX: Final = 200
"""Longer than anything takes here: what a client has given up may still be done, after what it asked for next."""


@dataclass(frozen=True)
class Pushed:
    """An image that was acknowledged, with the digest and the size of its layer."""

    manifest: Manifest
    layer: str
    size: int


class Pusher:
    """One client, its repository, and what it was promised; it mounts what `others` have."""

    def __init__(
        self, http: httpx.AsyncClient, number: int, seed: int, forgetful_until: Callable[[], float]
    ) -> None:
        self.ledger = Ledger()
        self.images: list[Pushed] = []
        self.others: Sequence[Pusher] = ()
        self.done: Counter[str] = Counter()
        self._forgetful_until = forgetful_until
        self._repository = f"team/r{number}"
        self._client = Client(http, self.ledger)
        self._chance = random.Random(f"{seed} {number}")  # noqa: S311 - no secret

    async def work(self, stop: asyncio.Event) -> None:
        """Until it is told to stop; then the last deeds are done to their end."""
        sometimes = (
            self._mount,
            self._push_index,
            self._untag,
            self._cancel,
            self._abandon,
            self._push_base_in_haste,
        )
        await self._patiently(lambda: self._client.push(self._repository, _BASE))
        while not stop.is_set():
            await self._push_image()
            await self._pull()
            for deed in sometimes:
                if self._chance.random() < _SOMETIMES:
                    await deed()
            if len(self.images) > _KEPT_MAX:
                await self._delete_oldest()

    async def _push_image(self) -> None:
        large = self._chance.random() < _LARGE
        size = self._chance.randint(*(_LARGE_BYTES if large else _SMALL_BYTES))
        content = self._chance.randbytes(size)
        client = self._client
        way = self._chance.choice(
            (client.push, client.push_by_put, client.push_streamed, client.push_chunked, self._push_resumed)
        )
        layer = await self._patiently(lambda: way(self._repository, content), also=GONE)
        self.done[way.__name__.strip("_")] += 1
        tags = self._chance.sample(_TAGS, self._chance.choice((0, 1, 1, 2)))
        await self._put_image(layer, size, *tags)

    async def _put_image(self, layer: str, size: int, *tags: str) -> None:
        config = self._chance.randbytes(50)
        await self._patiently(lambda: self._client.push(self._repository, config))
        manifest = image(config, [(layer, size)])
        await self._patiently(lambda: self._client.put(self._repository, manifest, *tags))
        self.images.append(Pushed(manifest, layer, size))
        self.done["images"] += 1

    async def _push_resumed(self, repository: str, content: bytes) -> str:
        """In chunks, each from where the upload stands, which is asked before each and after every failure."""
        upload = Resuming(self._client, repository, self._forgetful_until)
        await upload.begin()
        piece = max(len(content) // 4, 2)

        async def go_on() -> str:
            while (sent := await upload.stands_at()) < len(content) - piece:
                await upload.append(sent, content[sent : sent + piece])
                self.done["acknowledged chunks"] += 1
            return await upload.finish(content, sent)

        return await self._patiently(go_on, also=frozenset({416}))

    async def _pull(self) -> None:
        """What was acknowledged is there, at every moment, and is what it says."""
        await self._pull_one(*self._chance.choice(self.ledger.certain()))

    async def _pull_one(self, path: str, digest: str) -> None:
        answer = await self._patiently(lambda: self._client.ask(200, "GET", path, headers=ANY_TYPE))
        assert digest_of(answer.content) == digest, path
        self.done["pulls"] += 1

    async def _mount(self) -> None:
        other = self._chance.choice(self.others)
        if not other.images:
            return
        found = self._chance.choice(other.images)
        # Where it was deleted there in the meantime, an upload is begun, which nobody finishes.
        if await self._patiently(
            lambda: self._client.mount(self._repository, found.layer, other._repository)
        ):
            await self._put_image(found.layer, found.size)
            self.done["mounts"] += 1

    async def _push_index(self) -> None:
        manifest = index([pushed.manifest for pushed in self.images[-2:]])
        await self._patiently(lambda: self._client.put(self._repository, manifest, "multi"))
        self.done["indexes"] += 1

    async def _untag(self) -> None:
        tag = self._chance.choice(_TAGS)
        await self._gone(f"manifests/{tag}", lambda: self._client.untag(self._repository, tag))

    async def _delete_oldest(self) -> None:
        old = self.images.pop(0)
        digest = old.manifest.digest
        await self._gone(
            f"manifests/{digest}", lambda: self._client.delete_manifest(self._repository, digest)
        )
        self.ledger.acknowledged_deletion(self._repository, digest)
        await self._gone(f"blobs/{old.layer}", lambda: self._client.delete_blob(self._repository, old.layer))
        self.done["deletions"] += 1

    async def _gone(self, name: str, deed: Callable[[], Awaitable[object]]) -> None:
        """Delete; where it is not there any more, the answer to an earlier try, the proxy's perhaps, was lost."""
        try:
            await self._patiently(deed)
        except Refused as refused:
            if refused.status != NOT_FOUND:
                raise
            self.ledger.acknowledged(f"/v2/{self._repository}/{name}", None)

    async def _cancel(self) -> None:
        upload = await self._abandon()
        with suppress(Refused):  # it was being sent when the connection broke, or is gone
            await self._client.ask(204, "DELETE", upload)

    async def _push_base_in_haste(self) -> None:
        """Push what everybody has; in the middle of the last request give it up, and cancel it, or go on with it."""
        half = len(_BASE) // 2
        with suppress(Refused):
            upload = await self._client.start(self._repository)
            await self._client.ask(202, "PATCH", upload, content=_BASE[:half])
            with suppress(TimeoutError, Refused):
                async with asyncio.timeout(self._chance.uniform(0, _HASTE_SECONDS_MAX)):
                    await self._client.finish(self._repository, upload, _BASE, half)
            if self._chance.random() < _SOMETIMES:
                await self._client.finish(
                    self._repository, upload, _BASE, await self._client.stands_at(upload)
                )
            await self._client.ask(204, "DELETE", upload)
        digest = digest_of(_BASE)
        await self._pull_one(f"/v2/{self._repository}/blobs/{digest}", digest)
        self.done["pushes in haste"] += 1

    async def _abandon(self) -> str:
        upload = await self._patiently(lambda: self._client.start(self._repository))
        with suppress(Refused):
            await self._client.ask(202, "PATCH", upload, content=self._chance.randbytes(_ABANDONED_BYTES))
        return upload

    async def _patiently(self, deed: Callable[[], Awaitable[T]], also: frozenset[int] = frozenset()) -> T:
        """Do it again while it is refused for the moment, or with `also`; Refused when patience ends."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _PATIENCE_SECONDS, 0.05
        while True:
            try:
                return await deed()
            except Refused as refused:
                if refused.status not in AGAIN | also or loop.time() > deadline:
                    raise
                self.done[f"refused with {refused.status}"] += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)


@asynccontextmanager
async def pushing(
    base_url: str, seed: int, forgetful_until: Callable[[], float]
) -> AsyncIterator[list[Pusher]]:
    """Let clients work as long as the block lasts, and then until each has done what it had begun.

    `forgetful_until`: see Resuming.
    """
    stop = asyncio.Event()
    async with httpx.AsyncClient(base_url=base_url, timeout=_ANSWER_SECONDS_MAX, trust_env=False) as http:
        pushers = [Pusher(http, number, seed, forgetful_until) for number in range(CLIENTS)]
        for pusher in pushers:
            pusher.others = [other for other in pushers if other is not pusher]
        async with asyncio.TaskGroup() as group:
            for pusher in pushers:
                group.create_task(pusher.work(stop))
            try:
                yield pushers
            finally:
                stop.set()
