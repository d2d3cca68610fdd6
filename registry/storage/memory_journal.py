"""The journal and the snapshots of a store in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from registry.storage.journal import Snapshot, new_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from registry.storage.journal import Damaged, Line


class MemoryJournal:
    """Lines and snapshots in dictionaries."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._snapshots: dict[Snapshot, bytes] = {}

    async def append(self, lines: Sequence[Line]) -> None:
        """See the contract."""
        self._lines |= {line.id: line for line in lines}

    async def lines(self, behind: int, damaged: Damaged = lambda *_: None) -> AsyncIterator[Line]:
        """See the contract."""
        del damaged  # memory does not rot
        for line in list(self._lines.values()):
            if line.id > behind:
                yield line

    async def reached(self, behind: int) -> int:
        """See the contract."""
        return max([behind, *self._lines])

    async def forget(self, until: int) -> None:
        """See the contract."""
        self._lines = {number: line for number, line in self._lines.items() if number > until}
        self._snapshots = {one: content for one, content in self._snapshots.items() if one.until >= until}

    async def save(self, until: int, pieces: AsyncIterator[bytes]) -> None:
        """See the contract."""
        content = b"".join([piece async for piece in pieces])
        self._snapshots[Snapshot(new_name(until), until, time.time())] = content

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """See the contract."""
        for snapshot in list(self._snapshots):
            yield snapshot

    async def read(self, snapshot: Snapshot) -> AsyncIterator[bytes]:
        """See the contract."""
        yield self._snapshots[snapshot]
