"""Blobs, and which repository may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, select, update

from registry.db.clock import now_us
from registry.db.listed import is_listed, listed
from registry.db.prepared import Prepared
from registry.db.schema import blobs, manifest_blobs, manifests, repositories, repository_blobs
from registry.oci.digest import Digest
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from registry.oci.manifest import Descriptor


_VISIBLE = (
    select(blobs.c.size)
    .join_from(blobs, repository_blobs, repository_blobs.c.blob_id == blobs.c.id)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(blobs.c.present)
)


def size_in(connection: Connection, repository: RepositoryName, digest: Digest) -> int | None:
    """Bytes of a blob that the repository may see, None where it may not."""
    size: int | None = _SIZE_IN.scalar(connection, repository=repository, digest=digest)
    return size


def repositories_with(connection: Connection, digest: Digest, limit: int) -> list[RepositoryName]:
    """Repositories that may see a blob, at most `limit` of them."""
    query = _VISIBLE.with_only_columns(repositories.c.name).where(blobs.c.digest == digest).limit(limit)
    return [RepositoryName(row.name) for row in connection.execute(query)]


def record(connection: Connection, repository_id: int, digest: Digest, size: int) -> None:
    """The blob's bytes are published, and the repository may see them."""
    blob_id = _RECORD.scalar(connection, blob=digest, bytes=size, now=now_us())
    _link(connection, repository_id, blob_id)


def mount(connection: Connection, source: RepositoryName, digest: Digest, target_id: int) -> int | None:
    """Let another repository see what `source` may see; the blob's size, None where `source` may not see it."""
    row = _HOLD_IN.first(connection, repository=source, digest=digest)
    if row is None:
        return None
    blob_id, size = row
    _link(connection, target_id, blob_id)
    return int(size)


class Held(NamedTuple):
    """A blob that cannot be unlinked at the moment; `size` in bytes."""

    id: int
    size: int


def hold(connection: Connection, repository_id: int, digests: Collection[Digest]) -> dict[Digest, Held]:
    """Those of the blobs that the repository may see, kept from being unlinked until the transaction ends."""
    if not digests:
        return {}
    rows = _HOLD.all(connection, repository_id=repository_id, digests=listed(digests))
    return {Digest(digest): Held(blob_id, size) for digest, blob_id, size in rows}


def expect(connection: Connection, descriptor: Descriptor) -> int:
    """The id of a blob that is named and may never have been pushed."""
    _EXPECT.run(connection, blob=descriptor.digest, bytes=descriptor.size, now=now_us())
    blob_id: int = _FIND.scalar(connection, digest=descriptor.digest)
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
    _LINK.run(connection, repository_id=repository_id, blob_id=blob_id, now=now_us())


def _row(insert: Any, *, present: bool) -> Any:  # noqa: ANN401 - see Prepared
    return insert(blobs).values(
        digest=bindparam("blob"),
        size=bindparam("bytes"),
        present=present,
        publications=1 if present else 0,
        created_at_us=bindparam("now"),
    )


def _record(insert: Any) -> Any:  # noqa: ANN401 - see Prepared
    statement = _row(insert, present=True)
    changed = {
        "present": True,
        "size": statement.excluded.size,
        "publications": blobs.c.publications + 1,
    }
    return statement.on_conflict_do_update(index_elements=[blobs.c.digest], set_=changed).returning(
        blobs.c.id
    )


_IN = _VISIBLE.where(repositories.c.name == bindparam("repository"), blobs.c.digest == bindparam("digest"))
_SIZE_IN: Final = Prepared(_IN)
_HOLD_IN: Final = Prepared(
    _IN.with_only_columns(blobs.c.id, blobs.c.size).with_for_update(
        read=True, key_share=True, of=repository_blobs
    )
)
# In one order in every transaction, so that two of them never wait for each other. The blobs are found by their digest
# before the repository is asked for them: left to choose, SQLite walks over all blobs of a repository for a long list.
_HOLD: Final = Prepared(
    select(blobs.c.digest, blobs.c.id, blobs.c.size)
    .join_from(repository_blobs, blobs, blobs.c.id == repository_blobs.c.blob_id)
    .where(
        repository_blobs.c.repository_id == bindparam("repository_id"),
        repository_blobs.c.blob_id.in_(select(blobs.c.id).where(is_listed(blobs.c.digest, "digests"))),
        blobs.c.present,
    )
    .order_by(blobs.c.digest)
    .with_for_update(read=True, key_share=True, of=repository_blobs)
)
_FIND: Final = Prepared(select(blobs.c.id).where(blobs.c.digest == bindparam("digest")))
_RECORD: Final = Prepared(_record)
_EXPECT: Final = Prepared(lambda insert: _row(insert, present=False).on_conflict_do_nothing())
_LINK: Final = Prepared(
    lambda insert: (
        insert(repository_blobs)
        .values(
            repository_id=bindparam("repository_id"),
            blob_id=bindparam("blob_id"),
            linked_at_us=bindparam("now"),
        )
        .on_conflict_do_nothing()
    )
)
