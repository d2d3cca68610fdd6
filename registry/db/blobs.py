"""Blobs, and which repository may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, update

from registry.db.clock import now_us
from registry.db.insertion import insert
from registry.db.schema import blobs, manifest_blobs, manifests, repositories, repository_blobs
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from registry.oci.digest import Digest
    from registry.oci.manifest import Descriptor

_PORTION = 500
"""Values in one IN list: SQLite takes no more than 32,766 parameters, and plans are kept for few lengths."""


_VISIBLE = (
    select(blobs.c.size)
    .join_from(blobs, repository_blobs, repository_blobs.c.blob_id == blobs.c.id)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(blobs.c.present)
)
# Built once: to build one takes several times as long as to run it.
_SIZE_IN = _VISIBLE.where(
    repositories.c.name == bindparam("repository"), blobs.c.digest == bindparam("digest")
)


def size_in(connection: Connection, repository: RepositoryName, digest: Digest) -> int | None:
    """Bytes of a blob that the repository may see, None where it may not."""
    size: int | None = connection.scalar(_SIZE_IN, {"repository": repository, "digest": digest})
    return size


def repositories_with(connection: Connection, digest: Digest, limit: int) -> list[RepositoryName]:
    """Repositories that may see a blob, at most `limit` of them."""
    query = _VISIBLE.with_only_columns(repositories.c.name).where(blobs.c.digest == digest).limit(limit)
    return [RepositoryName(row.name) for row in connection.execute(query)]


def record(connection: Connection, repository_id: int, digest: Digest, size: int) -> None:
    """The blob's bytes are published, and the repository may see them."""
    statement = insert(connection, blobs).values(
        digest=digest, size=size, present=True, publications=1, created_at_us=now_us()
    )
    changed = {"present": True, "size": size, "publications": blobs.c.publications + 1}
    statement = statement.on_conflict_do_update(index_elements=[blobs.c.digest], set_=changed)
    blob_id = connection.scalars(statement.returning(blobs.c.id)).one()
    _link(connection, repository_id, blob_id)


def mount(connection: Connection, source: RepositoryName, digest: Digest, target_id: int) -> int | None:
    """Let another repository see what `source` may see; the blob's size, None where `source` may not see it."""
    query = (
        _VISIBLE.with_only_columns(blobs.c.id, blobs.c.size)
        .where(repositories.c.name == source, blobs.c.digest == digest)
        .with_for_update(read=True, key_share=True, of=repository_blobs)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    _link(connection, target_id, row.id)
    return int(row.size)


def hold(connection: Connection, repository_id: int, digests: Collection[Digest]) -> dict[Digest, int]:
    """The ids of those blobs that the repository may see, kept from being unlinked until the transaction ends."""
    found: dict[Digest, int] = {}
    ordered = sorted(
        digests
    )  # in one order in every transaction, so that two of them never wait for each other
    for start in range(0, len(ordered), _PORTION):
        query = (
            select(blobs.c.digest, blobs.c.id)
            .join(repository_blobs, repository_blobs.c.blob_id == blobs.c.id)
            .where(
                repository_blobs.c.repository_id == repository_id,
                blobs.c.digest.in_(ordered[start : start + _PORTION]),
                blobs.c.present,
            )
            .order_by(blobs.c.digest)
            .with_for_update(read=True, key_share=True, of=repository_blobs)
        )
        found |= {row.digest: row.id for row in connection.execute(query)}
    return found


def expect(connection: Connection, descriptor: Descriptor) -> int:
    """The id of a blob that is named and may never have been pushed."""
    connection.execute(
        insert(connection, blobs)
        .values(
            digest=descriptor.digest,
            size=descriptor.size,
            present=False,
            publications=0,
            created_at_us=now_us(),
        )
        .on_conflict_do_nothing()
    )
    blob_id: int = connection.scalars(select(blobs.c.id).where(blobs.c.digest == descriptor.digest)).one()
    return blob_id


def hold_to_unlink(
    connection: Connection, repository: RepositoryName, digest: Digest
) -> tuple[int, int] | None:
    """(repository id, blob id) of a link, which nobody else can rely on until the transaction ends."""
    query = (
        select(repository_blobs.c.repository_id, repository_blobs.c.blob_id)
        .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
        .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
        .where(repositories.c.name == repository, blobs.c.digest == digest)
        .with_for_update(of=repository_blobs)
    )
    row = connection.execute(query).first()
    return None if row is None else (row.repository_id, row.blob_id)


def manifests_naming(connection: Connection, repository_id: int, blob_id: int, limit: int) -> list[str]:
    """Digests of manifests of the repository that name the blob, at most `limit` of them."""
    query = (
        select(manifests.c.digest)
        .join(manifest_blobs, manifest_blobs.c.manifest_id == manifests.c.id)
        .where(manifest_blobs.c.repository_id == repository_id, manifest_blobs.c.blob_id == blob_id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def unlink(connection: Connection, repository_id: int, blob_id: int) -> None:
    """The repository may no longer see the blob."""
    connection.execute(
        delete(repository_blobs).where(
            repository_blobs.c.repository_id == repository_id, repository_blobs.c.blob_id == blob_id
        )
    )


def publications(connection: Connection, digest: Digest) -> int:
    """How often the blob's bytes were pushed, 0 where they never were."""
    count: int | None = connection.scalar(select(blobs.c.publications).where(blobs.c.digest == digest))
    return count or 0


def mark_absent(connection: Connection, digest: Digest, publications: int) -> bool:
    """Nobody sees the blob until it is pushed again; whether nobody had pushed it since that many publications."""
    statement = update(blobs).where(blobs.c.digest == digest, blobs.c.publications == publications)
    return bool(connection.execute(statement.values(present=False)).rowcount)


def _link(connection: Connection, repository_id: int, blob_id: int) -> None:
    connection.execute(
        insert(connection, repository_blobs)
        .values(repository_id=repository_id, blob_id=blob_id, linked_at_us=now_us())
        .on_conflict_do_nothing()
    )
