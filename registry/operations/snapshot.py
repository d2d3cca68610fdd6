"""The whole content of a database as entries: what a backup holds, and with what a journal can begin anew.

Uploads that nobody has finished are no content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.db import snapshot
from registry.oci.digest import Digest
from registry.oci.names import RepositoryName, Tag
from registry.operations.entries import BlobLinked, ManifestStored, RepositoryCreated, TagPointed
from registry.storage.contract import StoredBlob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.db.database import Connection
    from registry.operations.entries import Entry


def entries(connection: Connection) -> Iterator[list[Entry]]:
    """All that the database says, in portions, for `Database.stream`.

    Blobs come before the manifests that name them, these before indexes and tags; an index may come before an index
    that it names.
    """
    yield from _repositories(connection)
    yield from _links(connection)
    yield from _manifests(connection, indexes=False)
    yield from _manifests(connection, indexes=True)
    yield from _tags(connection)


def visible_blobs(connection: Connection) -> Iterator[list[StoredBlob]]:
    """All blobs that must be in the store for the entries to be whole, in portions."""
    for rows in snapshot.visible_blob_rows(connection):
        yield [StoredBlob(Digest(row.digest), row.size) for row in rows]


def _repositories(connection: Connection) -> Iterator[list[Entry]]:
    for rows in snapshot.repository_rows(connection):
        yield [RepositoryCreated(RepositoryName(row.name), row.created_at_us) for row in rows]


def _links(connection: Connection) -> Iterator[list[Entry]]:
    for rows in snapshot.link_rows(connection):
        yield [
            BlobLinked(RepositoryName(row.repository), Digest(row.digest), row.size, row.linked_at_us)
            for row in rows
        ]


def _manifests(connection: Connection, *, indexes: bool) -> Iterator[list[Entry]]:
    for rows in snapshot.manifest_rows(connection, indexes=indexes):
        yield [
            ManifestStored(
                RepositoryName(row.repository),
                Digest(row.digest),
                row.media_type,
                row.content,
                row.complete,
                row.pushed_at_us,
            )
            for row in rows
        ]


def _tags(connection: Connection) -> Iterator[list[Entry]]:
    for rows in snapshot.tag_rows(connection):
        yield [
            TagPointed(RepositoryName(row.repository), Tag(row.name), Digest(row.digest), row.updated_at_us)
            for row in rows
        ]
