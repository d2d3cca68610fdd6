"""`registry rebuild`: makes a database that was lost anew, of what the store tells of itself.

A snapshot comes first, then all entries behind it, in the order of their numbers: entries of several replicas lie in
several places, and one thing may have been written twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from registry.operations.backup import require_empty
from registry.operations.check import check
from registry.operations.describing import begin_anew, newest_snapshot
from registry.operations.entries import EntryInvalid, parse
from registry.operations.packing import unpack
from registry.operations.restoring import RestoreReport, restore

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from registry.operations.check import CheckReport, Progress
    from registry.operations.entries import Entry
    from registry.operations.registry import Registry
    from registry.storage.journal import Line, Snapshot

_BUFFER_BYTES: Final = 1024 * 1024
_TWICE: Final = (
    "two databases have written to this journal: {} numbers were given twice. What both tell is here, but of what they "
    "tell about one thing the wrong one may be the later"
)


class CannotRebuild(Exception):
    """The store does not tell enough of itself."""


@dataclass(slots=True)
class RebuildReport:
    """From which snapshot it began, how many entries came behind it, and what became of all.

    `twice`: how many of them have a number that another one has, which tells something else.
    """

    snapshot: Snapshot | None
    entries: int = 0
    reached: int = 0
    twice: int = 0
    unreadable: list[str] = field(default_factory=list)
    unsaved: list[str] = field(default_factory=list)
    restored: RestoreReport = field(default_factory=RestoreReport)

    @property
    def source(self) -> str:
        """With what it began, in words."""
        if self.snapshot is None:
            return "no snapshot"
        return f"the snapshot of {_when(self.snapshot)} UTC"

    @property
    def problems(self) -> list[str]:
        """A line for each thing that is not as the store tells, or that it tells in no way that can be read."""
        twice = [_TWICE.format(self.twice)] if self.twice else []
        return [*self.unreadable, *twice, *self.restored.refused, *self.restored.missing, *self.unsaved]

    def damaged(self, place: str, count: int) -> None:
        """See `Journal.lines`."""
        self.unreadable.append(
            f"{place}: {count} lines are damaged; what they told is lost, unless a snapshot has it"
        )


async def rebuild(registry: Registry, progress: Progress, before: float | None = None) -> RebuildReport:
    """Fill an empty database; begin with the newest snapshot, or the newest that was saved `before` (Unix seconds).

    Raises CannotRebuild, and NotEmpty.
    """
    await require_empty(registry.database)
    report = RebuildReport(await newest_snapshot(registry, before))
    if report.snapshot is None:
        await _require_none(registry)
    else:
        await _require_whole(registry, report.snapshot)
    report.restored = await restore(registry, _entries(registry, report), progress)
    if report.snapshot is None and not report.entries:
        raise CannotRebuild(f"there is neither a snapshot nor a journal in {registry.store.description}")
    report.unsaved = await begin_anew(registry)
    return report


async def rebuild_and_check(
    registry: Registry, progress: Progress, before: float | None = None
) -> tuple[RebuildReport, CheckReport]:
    """Rebuild, and look at what has come of it as `registry check` does."""
    report = await rebuild(registry, progress, before)
    return report, await check(registry, progress)


async def _entries(registry: Registry, report: RebuildReport) -> AsyncIterator[Entry]:
    """All that the store tells, counted in the report."""
    if report.snapshot is not None:
        report.reached = report.snapshot.until
        async for entry in _told_by(registry, report.snapshot):
            yield entry
    lines = registry.store.journal.lines(report.reached, report.damaged)
    async for number, text in _in_order(lines):
        report.twice += number == report.reached
        report.entries, report.reached = report.entries + 1, number
        try:
            yield parse(text)
        except EntryInvalid as error:
            report.unreadable.append(f"journal, entry {number}: {error}")


async def _require_none(registry: Registry) -> None:
    """CannotRebuild where there are snapshots, all of them too new: to do without is not what was asked for."""
    if times := sorted([_when(one) async for one in registry.store.journal.snapshots()]):
        raise CannotRebuild(f"no snapshot is that old; there are those of (UTC): {', '.join(times)}")


async def _require_whole(registry: Registry, snapshot: Snapshot) -> None:
    """Read all of it before any of it is written: CannotRebuild where it is damaged."""
    async for _ in _told_by(registry, snapshot):
        pass


def _when(snapshot: Snapshot) -> str:
    return f"{datetime.fromtimestamp(snapshot.saved_at, UTC):%Y-%m-%dT%H:%M:%S}"


async def _told_by(registry: Registry, snapshot: Snapshot) -> AsyncIterator[Entry]:
    try:
        async for entry in unpack(registry.store.journal.read(snapshot)):
            yield entry
    except EntryInvalid as error:
        raise CannotRebuild(
            f"the snapshot {snapshot.name} is no good ({error}); begin with an older one: --before {_when(snapshot)}"
        ) from error


async def _in_order(lines: AsyncIterable[Line]) -> AsyncIterator[tuple[int, bytes]]:
    """(number, text) of each line once, in order; what they say waits in a file, for it may be much.

    Lines of one number come as they were read, where they tell different things.
    """
    places: dict[tuple[int, bytes], tuple[int, int]] = {}
    with TemporaryFile(buffering=_BUFFER_BYTES) as file:
        end = 0
        async for line in lines:
            key = (line.id, hashlib.sha256(line.text).digest())
            if key not in places:
                places[key] = (end, len(line.text))
                end += file.write(line.text)
        for (number, _), (offset, length) in sorted(places.items(), key=_in_line):
            file.seek(offset)
            yield number, file.read(length)


def _in_line(found: tuple[tuple[int, bytes], tuple[int, int]]) -> tuple[int, int]:
    (number, _), (offset, _) = found
    return number, offset
