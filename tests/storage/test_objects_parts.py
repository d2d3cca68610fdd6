"""Parts of segments share the memory that there is for them."""

from __future__ import annotations

import asyncio

import pytest

from registry.storage.objects.parts import PARTS_MAX, PARTS_MIN, parts_for
from registry.storage.objects.staged import _being_written
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


@pytest.mark.anyio
async def test_who_counts(opened: ObjectStore) -> None:
    """A segment counts from its first byte on, until it is ended or its request is."""
    before = len(_being_written)
    async with opened.stage("one") as one, opened.stage("two") as two:
        await asyncio.gather(one.write(b"1"), two.write(b"2"))
        assert len(_being_written) == before + 2
        await one.flush()
        assert len(_being_written) == before + 1
    del two
    assert len(_being_written) == before
