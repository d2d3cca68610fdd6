"""Writes entries as rows, in their order, as many at once as there are of one kind behind each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from registry.db import blobs, manifests, restoring, tags
from registry.operations.entries import (
    BlobLinked,
    BlobUnlinked,
    ManifestDeleted,
    ManifestStored,
    RepositoryCreated,
    TagDeleted,
    TagPointed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from registry.db.database import Connection
    from registry.oci.digest import Digest
    from registry.oci.manifest import Manifest
    from registry.operations.entries import Entry

    Sized = tuple[Digest, int]
    Parsed = dict[tuple[Digest, str], Manifest]
    Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries; what their manifests say, by digest and media type; the blobs that are in the store."""

    entries: Sequence[Entry]
    manifests: Parsed
    present: frozenset[Sized]

    def of(self, entry: ManifestStored) -> Manifest:
        """What the manifest says."""
        return self.manifests[entry.digest, entry.media_type]


def apply(connection: Connection, batch: Batch) -> list[str]:
    """Write the entries; those that could not be, in words."""
    return [
        refused
        for kind, entries in groupby(batch.entries, key=type)
        for refused in _APPLY[kind](connection, batch, list(entries)) or ()
    ]


def _create_repositories(connection: Connection, _: Batch, entries: Iterable[Any]) -> None:
    """For entries of any kind with `at_us`: their repositories are there."""
    created = {entry.repository: entry.at_us for entry in entries}
    rows = [{"repository": repository, "at_us": at_us} for repository, at_us in created.items()]
    restoring.put_repositories(connection, rows)


def _link_blobs(connection: Connection, batch: Batch, entries: Sequence[BlobLinked]) -> None:
    _create_repositories(connection, batch, entries)
    restoring.put_blobs(
        connection,
        [
            _blob_row(
                entry.digest, entry.size, entry.at_us, is_there=(entry.digest, entry.size) in batch.present
            )
            for entry in entries
        ],
    )
    restoring.put_links(connection, [_link_row(entry, entry.digest) for entry in entries])


def _unlink_blobs(connection: Connection, _: Batch, entries: Sequence[BlobUnlinked]) -> None:
    for entry in entries:
        if link := blobs.hold_to_unlink(connection, entry.repository, entry.digest):
            blobs.unlink(connection, *link)


def _store_manifests(connection: Connection, batch: Batch, entries: Sequence[ManifestStored]) -> list[str]:
    _create_repositories(connection, batch, entries)
    _put_blobs_named(connection, batch, entries)
    restoring.put_manifests(connection, [_manifest_row(entry, batch.of(entry)) for entry in entries])
    _put_references(connection, batch, entries)
    pointed = [
        TagPointed(entry.repository, tag, entry.digest, entry.at_us)
        for entry in entries
        for tag in entry.tags
    ]
    return _point_tags(connection, batch, pointed)


def _put_blobs_named(connection: Connection, batch: Batch, entries: Sequence[ManifestStored]) -> None:
    """What a complete manifest names was linked when it was accepted, and stayed so.

    What another one names is linked by an entry of its own, or not at all: else to name a blob would be to see it.
    """
    named = [(entry, blob) for entry in entries for blob in batch.of(entry).blobs]
    restoring.put_blobs(
        connection,
        [
            _blob_row(
                blob.digest,
                blob.size,
                entry.at_us,
                is_there=entry.complete and (blob.digest, blob.size) in batch.present,
            )
            for entry, blob in named
        ],
    )
    restoring.put_links(
        connection, [_link_row(entry, blob.digest) for entry, blob in named if entry.complete]
    )


def _put_references(connection: Connection, batch: Batch, entries: Sequence[ManifestStored]) -> None:
    restoring.put_named_blobs(
        connection,
        [
            {"repository": entry.repository, "manifest": entry.digest, "blob": blob.digest}
            for entry in entries
            for blob in batch.of(entry).blobs
        ],
    )
    restoring.put_named_children(
        connection,
        [
            {"repository": entry.repository, "manifest": entry.digest, "child": child.digest}
            for entry in entries
            for child in batch.of(entry).manifests
        ],
    )


def _delete_manifests(connection: Connection, _: Batch, entries: Sequence[ManifestDeleted]) -> None:
    for entry in entries:
        manifests.delete_manifest(connection, entry.repository, entry.digest)


def _point_tags(connection: Connection, _: Batch, entries: Sequence[TagPointed]) -> list[str]:
    return [
        f"{entry.repository}:{entry.tag}: points to {entry.digest}, which is not in the repository"
        for entry in entries
        if not restoring.point_tag(connection, _tag_row(entry))
    ]


def _delete_tags(connection: Connection, _: Batch, entries: Sequence[TagDeleted]) -> None:
    for entry in entries:
        tags.delete_tag(connection, entry.repository, entry.tag)


def _blob_row(digest: Digest, size: int, at_us: int, *, is_there: bool) -> Row:
    return {"blob": digest, "bytes": size, "at_us": at_us, "is_there": is_there}


def _link_row(entry: BlobLinked | ManifestStored, digest: Digest) -> Row:
    return {"repository": entry.repository, "blob": digest, "at_us": entry.at_us}


def _tag_row(entry: TagPointed) -> Row:
    return {
        "repository": entry.repository,
        "tag": entry.tag,
        "manifest": entry.digest,
        "at_us": entry.at_us,
    }


def _manifest_row(entry: ManifestStored, manifest: Manifest) -> Row:
    return {
        "repository": entry.repository,
        "new_digest": entry.digest,
        "new_media_type": manifest.media_type,
        "new_size": len(entry.content),
        "new_complete": entry.complete,
        "new_subject_digest": manifest.subject and manifest.subject.digest,
        "new_artifact_type": manifest.artifact_type,
        "new_annotations": json.dumps(manifest.annotations),
        "new_pushed_at_us": entry.at_us,
        "new_content": entry.content,
    }


_APPLY: Final[dict[type[Entry], Callable[[Connection, Batch, Any], list[str] | None]]] = {
    RepositoryCreated: _create_repositories,
    ManifestStored: _store_manifests,
    ManifestDeleted: _delete_manifests,
    TagPointed: _point_tags,
    TagDeleted: _delete_tags,
    BlobLinked: _link_blobs,
    BlobUnlinked: _unlink_blobs,
}
