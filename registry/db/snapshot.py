"""Every row that a backup holds, in portions, with flat memory; in one transaction, so that they tell of one state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, select

from registry.db.schema import blobs, manifests, repositories, repository_blobs, tags
from registry.oci.media_types import INDEXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Select

    Portion = Sequence[Any]  # rows, whose columns are told by each function

_ROWS: Final = 1000
_BYTES: Final = 8 * 1024 * 1024
"""The content of so many manifests is read at a time, or one that is larger."""


def repository_rows(connection: Connection) -> Iterator[Portion]:
    """(name, created_at_us) of every repository."""
    query = select(repositories.c.name, repositories.c.created_at_us)
    return _portions(connection, query.order_by(repositories.c.id))


def link_rows(connection: Connection) -> Iterator[Portion]:
    """(repository, digest, size, linked_at_us) of every blob that a repository may see."""
    query = (
        select(
            repositories.c.name.label("repository"),
            blobs.c.digest,
            blobs.c.size,
            repository_blobs.c.linked_at_us,
        )
        .join_from(repository_blobs, repositories, repositories.c.id == repository_blobs.c.repository_id)
        .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
    )
    return _portions(connection, query.order_by(*repository_blobs.primary_key))


def manifest_rows(connection: Connection, *, indexes: bool) -> Iterator[Portion]:
    """(repository, digest, media_type, content, complete, pushed_at_us) of every index, or of every other manifest."""
    chosen = manifests.c.media_type.in_(sorted(INDEXES))
    sizes = select(manifests.c.id, manifests.c.size).where(chosen if indexes else ~chosen)
    for ids in _fitting(_portions(connection, sizes.order_by(manifests.c.id))):
        query = (
            select(
                repositories.c.name.label("repository"),
                manifests.c.digest,
                manifests.c.media_type,
                manifests.c.content,
                manifests.c.complete,
                manifests.c.pushed_at_us,
            )
            .join_from(manifests, repositories, repositories.c.id == manifests.c.repository_id)
            .where(manifests.c.id.in_(ids))
        )
        yield connection.execute(query.order_by(manifests.c.id)).all()


def tag_rows(connection: Connection) -> Iterator[Portion]:
    """(repository, name, digest, updated_at_us) of every tag."""
    query = (
        select(repositories.c.name.label("repository"), tags.c.name, manifests.c.digest, tags.c.updated_at_us)
        .join_from(tags, repositories, repositories.c.id == tags.c.repository_id)
        .join(manifests, manifests.c.id == tags.c.manifest_id)
    )
    return _portions(connection, query.order_by(*tags.primary_key))


def visible_blob_rows(connection: Connection) -> Iterator[Portion]:
    """(digest, size) of every blob that is there and that a repository may see."""
    seen = exists().where(repository_blobs.c.blob_id == blobs.c.id)
    query = select(blobs.c.digest, blobs.c.size).where(blobs.c.present, seen)
    return _portions(connection, query.order_by(blobs.c.digest))


def _portions(connection: Connection, query: Select[Any]) -> Iterator[Portion]:
    # On Postgres by a cursor of the server's, from which SQLAlchemy fetches no more than this.
    with connection.execute(query, execution_options={"yield_per": _ROWS}) as result:
        yield from result.partitions()


def _fitting(portions: Iterator[Portion]) -> Iterator[list[int]]:
    """Ids in groups whose content fits into memory."""
    ids: list[int] = []
    size = 0
    for row in (row for portion in portions for row in portion):
        if ids and (size + row.size > _BYTES or len(ids) == _ROWS):
            yield ids
            ids, size = [], 0
        ids.append(row.id)
        size += row.size
    if ids:
        yield ids
