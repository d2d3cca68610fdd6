"""`registry check`: whether everything that the rows and the bytes promise to each other is so.

It reads only, and runs beside a server that works. Rows and bytes change while it looks: what it finds missing, it
looks up once more before it calls it a problem. Bytes that no row knows are no problem, but what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from registry.db import inspection, uploads
from registry.oci.digest import Digest
from registry.oci.errors import ManifestInvalid
from registry.oci.manifest import Manifest
from registry.operations.hashing import RunningHash
from registry.storage.contract import CHUNK_BYTES, BlobMissing

if TYPE_CHECKING:
    from registry.db.inspection import BlobRow, ManifestRow
    from registry.operations.registry import Registry
    from registry.storage.contract import StoredBlob

Progress = Callable[[str, int, int | None], None]
"""Told what is being looked at, how many are done, and how many there are (None: not known)."""

_PORTION: Final = 200
_PROBLEMS_MAX: Final = 1000


@dataclass(slots=True)
class CheckReport:
    """`problems` break a promise; `notes` do not; `counts` say how much was looked at."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def check(registry: Registry, progress: Progress, *, deep: bool = False) -> CheckReport:
    """Look at everything; `deep` also reads and hashes every blob."""
    report = CheckReport(counts=await registry.database.survey(inspection.counts))
    await _check_blobs(registry, report, progress, deep=deep)
    await _check_manifests(registry, report, progress)
    await _check_references(registry, report)
    await _note_bytes_without_rows(registry, report, progress)
    return report


async def _check_blobs(registry: Registry, report: CheckReport, progress: Progress, *, deep: bool) -> None:
    last, done = "", 0
    while rows := await registry.database.read(inspection.present_blobs, last, _PORTION):
        for row in rows:
            if fault := await _fault_of_blob(registry, row, deep=deep):
                still_said = await registry.database.read(inspection.is_present, row.digest)
                report.problems += [f"blob {row.digest}: {fault}"] if still_said else []
            done += 1
            progress("blobs", done, report.counts["blobs"])
        last = rows[-1].digest


async def _fault_of_blob(registry: Registry, row: BlobRow, *, deep: bool) -> str | None:
    try:
        async with registry.store.reader(row.digest) as reader:
            if reader.size != row.size:
                return f"has {reader.size} bytes in the store, {row.size} by its row"
            if not deep:
                return None
            running = RunningHash(row.digest.algorithm)
            for offset in range(0, reader.size, CHUNK_BYTES):
                await running.update(await reader.read(offset, CHUNK_BYTES))
    except BlobMissing:
        return "is not in the store"
    return None if running.digest() == row.digest else f"its bytes hash to {running.digest()}"


async def _check_manifests(registry: Registry, report: CheckReport, progress: Progress) -> None:
    last, done = 0, 0
    while rows := await registry.database.read(inspection.manifest_rows, last, _PORTION):
        for row in rows:
            report.problems += [
                f"{row.repository}@{row.digest}: {fault}" for fault in _faults_of_manifest(row)
            ]
        done += len(rows)
        progress("manifests", done, report.counts["manifests"])
        last = rows[-1].id


def _faults_of_manifest(row: ManifestRow) -> list[str]:
    if Digest.of(row.content, row.digest.algorithm) != row.digest:
        return ["its content hashes to something else"]
    try:
        manifest = Manifest.parse(row.content, row.media_type)
    except ManifestInvalid as error:
        return [f"it is not a valid manifest: {error.message}"]
    told = {
        "size": (row.size, len(row.content)),
        "blobs": (row.blobs, frozenset(blob.digest for blob in manifest.blobs)),
        "children": (row.children, frozenset(child.digest for child in manifest.manifests)),
        "subject": (row.subject, manifest.subject and manifest.subject.digest),
        "artifact type": (row.artifact_type, manifest.artifact_type),
    }
    return [
        f"its row and its content differ in: {what}"
        for what, (row_says, is_so) in told.items()
        if row_says != is_so
    ]


async def _check_references(registry: Registry, report: CheckReport) -> None:
    for repository, manifest, blob in await registry.database.survey(inspection.incomplete, _PROBLEMS_MAX):
        report.problems.append(
            f"{repository}@{manifest}: blob {blob}, which it names, is not in the repository"
        )
    report.problems += await registry.database.survey(inspection.stray_rows, _PROBLEMS_MAX)
    count, size = await registry.database.survey(inspection.unseen)
    if count:
        report.notes.append(
            f"{count} blobs of {size} bytes are seen by no repository any more; nothing frees their bytes yet"
        )
    if sparse := await registry.database.survey(inspection.sparse):
        report.notes.append(
            f"{sparse} indexes are sparse: manifests that they name were deleted, or never pushed"
        )


async def _note_bytes_without_rows(registry: Registry, report: CheckReport, progress: Progress) -> None:
    count, size, done = 0, 0, 0
    portion: list[StoredBlob] = []

    async def look() -> None:
        nonlocal count, size
        known = await registry.database.read(inspection.known, [blob.digest for blob in portion])
        unknown = [blob for blob in portion if blob.digest not in known]
        count, size = count + len(unknown), size + sum(blob.size for blob in unknown)
        portion.clear()

    async for blob in registry.store.blobs():
        portion.append(blob)
        done += 1
        if len(portion) == _PORTION:
            await look()
            progress("stored bytes", done, None)
    await look()
    if count:
        report.notes.append(f"{count} blobs of {size} bytes are in the store and known to no row")
    if staged := await _staged_without_row(registry):
        report.notes.append(
            f"{staged} staged uploads are known to no row; they go when they were idle for long enough"
        )
    await _note_strays(registry, report, progress)


async def _note_strays(registry: Registry, report: CheckReport, progress: Progress) -> None:
    count, size, done = 0, 0, 0
    async for stray in registry.store.strays():
        done += 1
        progress("bytes that nothing names", done, None)
        if not await registry.database.read(uploads.exists, stray.upload):
            count, size = count + 1, size + stray.size
    if count:
        report.notes.append(
            f"{size} bytes of {count} uploads are named by nothing; they go when they are old enough"
        )


async def _staged_without_row(registry: Registry) -> int:
    count = 0
    async for staged in registry.store.uploads():
        count += not await registry.database.read(uploads.exists, staged.upload)
    return count
