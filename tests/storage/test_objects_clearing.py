"""What is taken away from a bucket is what nobody relies on, whoever stops for however long, at whichever request."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from registry.storage.contract import BlobMissing, StagedBytesLost, Stray
from registry.storage.objects import clearing
from registry.storage.objects.layout import (
    Index,
    Segment,
    condemned_key,
    index_key,
    new_segment_key,
    published_key,
    upload_key,
)
from registry.storage.objects.store import ObjectStore
from tests.storage.contract import CONTENT, DIGEST, blobs_of, publish, read, uploads_of
from tests.storage.test_objects import get, keys, opened, put, segments, store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.anyio

__all__ = ["opened", "store"]

_REQUESTS = ("get", "put", "replace", "delete", "has", "complete", "list")


class Stopping:
    """A store of another replica, which stops before the request with this number, until it is told to go on."""

    def __init__(self, like: ObjectStore, number: int) -> None:
        self.store = ObjectStore(like.service.bucket)
        self.store.service._conditional = like.service._conditional
        self.stopped = asyncio.Event()
        self._go_on = asyncio.Event()
        self._left = number
        for name in _REQUESTS:
            request = getattr(self.store.service, name)
            setattr(
                self.store.service, name, self._listing(request) if name == "list" else self._one(request)
            )

    async def start(self, deed: Callable[[ObjectStore], Awaitable[object]]) -> asyncio.Task[object]:
        """Begin, and go on until it stops or is done."""
        task = asyncio.ensure_future(deed(self.store))
        stopped = asyncio.create_task(self.stopped.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        return task

    def go_on(self) -> None:
        """Stop no more."""
        self._go_on.set()

    async def _step(self) -> None:
        self._left -= 1
        if self._left < 0 and not self._go_on.is_set():
            self.stopped.set()
            await self._go_on.wait()

    def _one(self, request: Callable[..., Any]) -> Callable[..., Any]:
        async def one(*args: Any) -> Any:
            await self._step()
            return await request(*args)

        return one

    def _listing(self, request: Callable[..., Any]) -> Callable[..., Any]:
        async def listing(*args: Any) -> AsyncIterator[Any]:
            await self._step()
            async for entry in request(*args):
                yield entry

        return listing


async def push(store: ObjectStore) -> bool:
    """Push the blob; whether it was acknowledged."""
    try:
        await publish(store, "slow", CONTENT)
    except StagedBytesLost:
        return False
    return True


async def give_up(store: ObjectStore) -> None:
    """What a purge does, as if all were old."""
    await store.sweep(-1)
    await store.discard("slow")
    async for stray in store.strays():
        await store.discard(stray.upload)


async def tidy(store: ObjectStore) -> None:
    """Take the blob and all the rest away, and see that nothing is left."""
    await store.delete(DIGEST)
    await give_up(store)
    await give_up(store)
    assert set(keys(store)) <= {"ready"}


def part(store: ObjectStore, name: str) -> ObjectStore:
    """A store of its own, in the same bucket."""
    bucket = store.service.bucket
    other = ObjectStore(replace(bucket, url=f"{bucket.url}/{name}"))
    other.service._conditional = store.service._conditional
    return other


async def whole(store: ObjectStore) -> bool:
    """Whether another replica reads the blob; what it reads is right."""
    with suppress(BlobMissing):
        assert await read(ObjectStore(store.service.bucket), DIGEST) == CONTENT
        return True
    return False


@pytest.fixture
def no_multipart_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not ask for abandoned multipart uploads, where none can be: that takes a tenth of a second each time."""

    async def none(*_: object) -> int:
        return 0

    monkeypatch.setattr(clearing, "abort_abandoned", none)


@pytest.mark.usefixtures("no_multipart_uploads")
@pytest.mark.parametrize("conditional", [True, False], ids=["conditional", "unconditional"])
@pytest.mark.parametrize("earlier", [True, False], ids=["pushed before", "new"])
async def test_pusher_that_stands_still(opened: ObjectStore, conditional: bool, earlier: bool) -> None:  # noqa: FBT001
    """Wherever a push stops, is purged and goes on: if it is acknowledged then it is whole, and so is an earlier one."""
    opened.service._conditional = conditional
    outcomes = await asyncio.gather(
        *(stand_still(part(opened, str(n)), n, earlier=earlier) for n in range(16))
    )
    assert outcomes[-1] == "done"
    assert set(outcomes) == {"done", True, False}


async def stand_still(store: ObjectStore, number: int, *, earlier: bool) -> bool | str:
    """Push, and stop at the request with this number; whether that was acknowledged, if it came so far."""
    if earlier:
        await publish(store, "earlier", CONTENT)
    pusher = Stopping(store, number)
    pushing = await pusher.start(push)
    if pushing.done():
        return "done"
    await give_up(store)
    pusher.go_on()
    acknowledged = bool(await pushing)
    assert await whole(store) or not (acknowledged or earlier), number
    await tidy(store)
    return acknowledged


@pytest.mark.parametrize("conditional", [True, False], ids=["conditional", "unconditional"])
async def test_both_stand_still(opened: ObjectStore, conditional: bool) -> None:  # noqa: FBT001
    """Wherever a push stops, and wherever a purge that comes by stops until the push is done, nothing is lost."""
    opened.service._conditional = conditional
    outcomes = []
    for number in range(2, 12):  # before that no bytes are there
        stores = [part(opened, f"{number}-{purge_number}") for purge_number in range(9)]
        outcomes += await asyncio.gather(
            *(both_stand_still(store, number, purge_number) for purge_number, store in enumerate(stores))
        )
    assert set(outcomes) == {True, False}


async def both_stand_still(store: ObjectStore, number: int, purge_number: int) -> bool:
    """Push and discard, and stop both where they are told to; whether the push was acknowledged."""
    await publish(store, "earlier", CONTENT)
    pusher, purger = Stopping(store, number), Stopping(store, purge_number)
    pushing = await pusher.start(push)
    purging = await purger.start(lambda store: store.discard("slow"))
    pusher.go_on()
    acknowledged = bool(await pushing)
    purger.go_on()
    await purging
    assert await whole(store), (number, purge_number)
    return acknowledged


async def test_stray(opened: ObjectStore) -> None:
    """Bytes of an upload without a mark are a stray until they are discarded; uploads are told apart by their ids."""
    for upload in ("3a1", "3a2", "3b", "4"):
        put(opened, new_segment_key(upload), CONTENT)
    put(opened, new_segment_key("3a1"), b"more")
    assert {(stray.upload, stray.size) for stray in await strays(opened)} == {
        ("3a1", len(CONTENT) + 4),
        ("3a2", len(CONTENT)),
        ("3b", len(CONTENT)),
        ("4", len(CONTENT)),
    }
    assert {stray.upload for stray in await strays(opened, "3a")} == {"3a1", "3a2"}
    assert all(abs(stray.modified - time.time()) < 60 for stray in await strays(opened))
    for stray in await strays(opened):
        await opened.discard(stray.upload)
    assert keys(opened) == ["ready"]


async def test_what_is_no_stray(opened: ObjectStore) -> None:
    """What a blob names, what an upload with a mark has, and what a reader may still be reading, are no strays."""
    await publish(opened, "one", CONTENT)
    async with opened.stage("two") as held:
        await held.write(b"some")
        await held.flush()
        assert await strays(opened) == []
    await publish(opened, "three", CONTENT)
    assert await strays(opened) == []
    await opened.delete(DIGEST)
    assert await strays(opened) == []
    await opened.sweep(-1)
    assert await strays(opened) == []
    assert len(keys(opened, "segments")) == 1


async def test_more_strays_than_are_looked_at_together(
    opened: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, each is found once, and blobs between them are not."""
    monkeypatch.setattr(clearing, "AT_ONCE", 2)
    await publish(opened, "2", CONTENT)
    for number in (0, 1, 3, 4, 5):
        put(opened, new_segment_key(str(number)), CONTENT)
    assert [stray.upload for stray in await strays(opened)] == ["0", "1", "3", "4", "5"]


async def test_pushed_by_two_without_a_note(opened: ObjectStore) -> None:
    """Where two pushes at once did not see each other's index, the bytes of the one that lost are a stray."""
    await publish(opened, "one", CONTENT)
    lost = Segment(new_segment_key("two"), len(CONTENT))
    put(opened, lost.key, CONTENT)
    put(opened, published_key("two"), DIGEST.encode())
    [stray] = await strays(opened)
    assert stray.upload == "two"
    await opened.discard("two")
    assert {key.split("/")[1] for key in keys(opened, "segments")} == {"one"}


async def test_index_that_leads_nowhere(opened: ObjectStore) -> None:
    """Who reads a blob whose index was replaced by one without bytes finds it: the earlier one is put back."""
    await publish(opened, "one", CONTENT)
    right = get(opened, index_key(DIGEST))
    await opened.delete(DIGEST)
    put(opened, index_key(DIGEST), Index((Segment(new_segment_key("gone"), len(CONTENT)),)).encode())
    assert await read(opened, DIGEST) == CONTENT
    assert get(opened, index_key(DIGEST)) == right
    await opened.sweep(-1)
    assert await whole(opened)


async def test_cut_off_while_it_is_discarded(opened: ObjectStore) -> None:
    """What a replica leaves that dies while it takes an upload away is not published, and is taken away by another."""
    async with opened.stage("upload") as held:
        await held.write(CONTENT)
        await held.flush()
        put(opened, condemned_key("upload"), b"")
        with pytest.raises(StagedBytesLost):
            await held.publish(DIGEST)
    assert await uploads_of(opened) != set()
    await opened.delete(DIGEST)
    await opened.discard("upload")
    await opened.sweep(-1)
    assert keys(opened) == ["ready"]
    assert await blobs_of(opened) == set()


async def test_clock_of_the_service(opened: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """How old things are does not depend on this machine's clock, which may be wrong by hours."""
    await publish(opened, "one", CONTENT)
    await opened.delete(DIGEST)
    put(opened, upload_key("two"), b"")
    right = time.time
    for wrong_seconds in (-7200, 7200):
        monkeypatch.setattr(time, "time", lambda wrong=wrong_seconds: right() + wrong)
        assert await opened.sweep(600) == 0
        assert [abs(upload.modified - time.time()) < 60 for upload in await uploads_of(opened)] == [True]
    assert len(segments(opened)) == 1


async def strays(store: ObjectStore, beginning: str = "") -> list[Stray]:
    """Those that the store tells of."""
    return [stray async for stray in store.strays(beginning)]
