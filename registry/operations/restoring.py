"""Applies entries to a database, in order: what a backup or the journal tells is so again.

An entry that cannot be true is refused and named, and the rest goes on. Blobs are believed to be there only where the
store has them: what is missing then is missing by its row, too, and comes back with the next push. To apply an entry
twice is to apply it once, so that a restoring that broke off may begin anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from registry.db import inspection, restoring
from registry.oci.digest import Digest
from registry.oci.errors import ManifestInvalid
from registry.oci.manifest import Manifest
from registry.operations.applying import Batch, apply
from registry.operations.entries import BlobLinked, ManifestStored
from registry.storage.contract import BlobMissing

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence

    from registry.operations.applying import Parsed, Sized
    from registry.operations.check import Progress
    from registry.operations.entries import Entry
    from registry.operations.registry import Registry

_BATCH: Final = 500
"""Entries in one transaction."""
_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Content of manifests in one transaction, and one manifest more."""
_AT_ONCE: Final = 32
"""Blobs that are looked for in the store at the same time."""


@dataclass(slots=True)
class RestoreReport:
    """`refused`: entries that cannot be true; `missing`: blobs that a repository should see and the store has not.

    `counts`: what the database holds at the end. `refused` and `missing` have a line for each.
    """

    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def restore(
    registry: Registry, entries: AsyncIterable[Entry], progress: Progress = lambda *_: None
) -> RestoreReport:
    """Apply the entries, and say what is not as they tell."""
    report = RestoreReport()
    done = 0
    async for read in _batches(entries):
        batch = await _batch(registry, read, report)
        report.refused += await registry.database.write(apply, batch)
        done += len(read)
        progress("entries", done, None)
    report.missing = [
        f"{repository}: blob {digest} of {size} bytes is not in the store"
        for repository, digest, size in await registry.database.survey(restoring.missing)
    ]
    report.counts = await registry.database.survey(inspection.counts)
    return report


async def _batches(entries: AsyncIterable[Entry]) -> AsyncIterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    async for entry in entries:
        batch.append(entry)
        size += len(entry.content) if isinstance(entry, ManifestStored) else 0
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _batch(registry: Registry, entries: Sequence[Entry], report: RestoreReport) -> Batch:
    """The batch without what is refused, and with all that is to be known of it."""
    parsed: Parsed = {}
    accepted: list[Entry] = []
    for entry in entries:
        if isinstance(entry, ManifestStored):
            try:
                parsed[entry.digest, entry.media_type] = _verified(entry)
            except ManifestInvalid as error:
                report.refused.append(f"{entry.repository}@{entry.digest}: {error.message}")
                continue
        accepted.append(entry)
    wanted = set(_named(accepted, parsed))
    return Batch(accepted, parsed, await _present(registry, wanted))


def _verified(entry: ManifestStored) -> Manifest:
    """What the manifest says; ManifestInvalid where it is not what its digest names, or none."""
    actual = Digest.of(entry.content, entry.digest.algorithm)
    if actual != entry.digest:
        raise ManifestInvalid(f"its content hashes to {actual}")
    return Manifest.parse(entry.content, entry.media_type)


def _named(entries: Iterable[Entry], parsed: Parsed) -> Iterator[Sized]:
    """The blobs that a repository shall see."""
    for entry in entries:
        if isinstance(entry, BlobLinked):
            yield entry.digest, entry.size
        elif isinstance(entry, ManifestStored) and entry.complete:
            yield from ((blob.digest, blob.size) for blob in parsed[entry.digest, entry.media_type].blobs)


async def _present(registry: Registry, wanted: set[Sized]) -> frozenset[Sized]:
    """Those of the blobs that are in the store, with this size; what rows say already was looked for before."""
    known = await registry.database.read(restoring.present_sizes, {digest for digest, _ in wanted})
    new = sorted({digest for digest, size in wanted if known.get(digest) != size})
    found = {Digest(digest): size for digest, size in known.items()}
    for start in range(0, len(new), _AT_ONCE):
        portion = new[start : start + _AT_ONCE]
        sizes = await asyncio.gather(*(_stored_size(registry, digest) for digest in portion))
        found |= {digest: size for digest, size in zip(portion, sizes, strict=True) if size is not None}
    return frozenset(wanted & set(found.items()))


async def _stored_size(registry: Registry, digest: Digest) -> int | None:
    try:
        async with registry.store.reader(digest) as reader:
            return reader.size
    except BlobMissing:
        return None
