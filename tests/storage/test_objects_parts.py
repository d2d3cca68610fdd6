"""Parts of segments share the memory that there is for them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from registry.oci.errors import Unavailable
from registry.storage.objects import places
from registry.storage.objects.parts import PARTS_MAX, PARTS_MIN, parts_for
from registry.storage.objects.places import PLACES_MAX
from registry.storage.objects.store import ObjectStore
from tests.storage.test_objects import opened, store

__all__ = ["opened", "store"]

_SMALLEST_OF_S3 = 5 * 1024 * 1024


@pytest.mark.parametrize("segments", [1, 4, 5, 8, 9, 64, 1000])
def test_bound(segments: int) -> None:
    """Eight segments that are written at once take 192 MiB at most, and each one more takes 10 MiB."""
    taken = sum(parts_for(number).held_bytes_max for number in range(1, segments + 1))
    few, several = min(segments, 4), min(max(segments - 4, 0), 4)
    assert taken <= (32 * few + 16 * several + 10 * max(segments - 8, 0)) * 1024 * 1024
    assert parts_for(segments).size >= _SMALLEST_OF_S3
    assert parts_for(1) == PARTS_MAX
    assert parts_for(1000) == PARTS_MIN


def test_all_places() -> None:
    """However many clients push, they take no more memory than docs/operating.md tells."""
    taken = sum(parts_for(number).held_bytes_max for number in range(1, PLACES_MAX + 1))
    assert taken == 432 * 1024 * 1024


@pytest.mark.anyio
async def test_who_counts(opened: ObjectStore) -> None:
    """An upload has a place from its second piece on until its request is done, however that ends."""
    with pytest.raises(ZeroDivisionError):
        async with opened.stage("one") as one, opened.stage("two") as two, opened.stage("three"):
            await asyncio.gather(one.write(b"1"), two.write(b"2"))
            assert opened.places.taken == 0
            await asyncio.gather(one.write(b"1"), two.write(b"2"))
            await one.flush()
            await one.write(b"1")
            assert opened.places.taken == 2
            raise ZeroDivisionError
    assert opened.places.taken == 0


@pytest.mark.anyio
async def test_no_place(opened: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds no place waits for one, in the order in which they came, and hears after a while that there is none."""
    monkeypatch.setattr(places, "PLACES_MAX", 1)
    store = ObjectStore(opened.service.bucket)
    async with AsyncExitStack() as first, store.stage("two") as two, store.stage("three") as three:
        one = await first.enter_async_context(store.stage("one"))
        for staged in (one, one, two, three):
            await staged.write(b"1")
        writing = asyncio.create_task(two.write(b"2"))
        await asyncio.sleep(0)
        monkeypatch.setattr(places, "_WAIT_SECONDS_MAX", 0.05)
        with pytest.raises(Unavailable, match="too many uploads"):
            await three.write(b"3")
        assert not writing.done()
        await first.aclose()
        await writing
        assert two.size == 2
        await three.flush()  # what came before counts, and needs no place
        assert three.flushed == 1
    assert store.places.taken == 0
