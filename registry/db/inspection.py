"""What `registry check` asks: rows in portions, and one query for each thing that must not be."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, not_, or_, select

from registry.db.schema import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    tags,
    uploads,
)
from registry.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob whose bytes must be there."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A manifest as its row, and the rows of what it names, describe it."""

    id: int
    repository: str
    digest: Digest
    media_type: str
    size: int
    subject: str | None
    artifact_type: str | None
    content: bytes
    blobs: frozenset[str]
    children: frozenset[str]


def counts(connection: Connection) -> dict[str, int]:
    """How many rows there are of each kind."""
    kinds = {
        "repositories": repositories,
        "manifests": manifests,
        "tags": tags,
        "blobs": blobs,
        "uploads": uploads,
    }
    return {
        name: connection.scalar(select(func.count()).select_from(table)) or 0 for name, table in kinds.items()
    }


def present_blobs(connection: Connection, last: str, limit: int) -> list[BlobRow]:
    """The first `limit` blobs behind the digest `last` that are said to be there."""
    query = select(blobs.c.digest, blobs.c.size).where(blobs.c.digest > last, blobs.c.present)
    rows = connection.execute(query.order_by(blobs.c.digest).limit(limit))
    return [BlobRow(Digest(row.digest), row.size) for row in rows]


def is_present(connection: Connection, digest: Digest) -> bool:
    """Whether the blob is said to be there at this moment."""
    return bool(connection.scalar(select(blobs.c.present).where(blobs.c.digest == digest)))


def known(connection: Connection, digests: Collection[Digest]) -> set[str]:
    """Those of the digests that have a row."""
    return set(connection.scalars(select(blobs.c.digest).where(blobs.c.digest.in_(digests))))


def manifest_rows(connection: Connection, last_id: int, limit: int) -> list[ManifestRow]:
    """The first `limit` manifests behind the id `last_id`."""
    query = (
        select(manifests, repositories.c.name)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(manifests.c.id > last_id)
        .order_by(manifests.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    named_blobs, children = _blobs_of(connection, ids), _children_of(connection, ids)
    return [
        ManifestRow(
            id=row.id,
            repository=row.name,
            digest=Digest(row.digest),
            media_type=row.media_type,
            size=row.size,
            subject=row.subject_digest,
            artifact_type=row.artifact_type,
            content=row.content,
            blobs=frozenset(named_blobs[row.id]),
            children=frozenset(children[row.id]),
        )
        for row in rows
    ]


def incomplete(connection: Connection, limit: int) -> list[tuple[str, str, str]]:
    """(repository, manifest, blob) where a manifest accepted as complete names a blob its repository does not see."""
    query = (
        select(repositories.c.name, manifests.c.digest, blobs.c.digest.label("blob"))
        .join_from(manifest_blobs, manifests, manifests.c.id == manifest_blobs.c.manifest_id)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
        .join(
            repository_blobs,
            and_(
                repository_blobs.c.repository_id == manifests.c.repository_id,
                repository_blobs.c.blob_id == manifest_blobs.c.blob_id,
            ),
            isouter=True,
        )
        .where(manifests.c.complete, or_(repository_blobs.c.blob_id.is_(None), not_(blobs.c.present)))
        .limit(limit)
    )
    return [(row.name, row.digest, row.blob) for row in connection.execute(query)]


def sparse(connection: Connection) -> int:
    """How many indexes name a child that is not in their repository."""
    child = manifests.alias("child")
    query = (
        select(func.count(func.distinct(manifest_children.c.manifest_id)))
        .join_from(manifest_children, manifests, manifests.c.id == manifest_children.c.manifest_id)
        .where(
            ~exists().where(
                child.c.repository_id == manifests.c.repository_id,
                child.c.digest == manifest_children.c.child_digest,
            )
        )
    )
    return connection.scalar(query) or 0


def unseen(connection: Connection) -> tuple[int, int]:
    """How many blobs that are there no repository sees, and their bytes."""
    query = select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).select_from(blobs)
    row = connection.execute(
        query.where(blobs.c.present, ~exists().where(repository_blobs.c.blob_id == blobs.c.id))
    ).one()
    return int(row[0]), int(row[1])


def stray_rows(connection: Connection, limit: int) -> list[str]:
    """Rows of one repository that lead into another, in words."""
    strays = select(repositories.c.name, tags.c.name.label("tag")).join_from(
        tags,
        manifests,
        and_(manifests.c.id == tags.c.manifest_id, manifests.c.repository_id != tags.c.repository_id),
    )
    strays = strays.join(repositories, repositories.c.id == tags.c.repository_id).limit(limit)
    found = [
        f"{row.name}:{row.tag} points to a manifest of another repository"
        for row in connection.execute(strays)
    ]
    wrong = (
        select(manifests.c.digest)
        .join_from(
            manifest_blobs,
            manifests,
            and_(
                manifests.c.id == manifest_blobs.c.manifest_id,
                manifests.c.repository_id != manifest_blobs.c.repository_id,
            ),
        )
        .limit(limit)
    )
    return found + [f"{digest} names blobs for another repository" for digest in connection.scalars(wrong)]


def _blobs_of(connection: Connection, manifest_ids: list[int]) -> dict[int, set[str]]:
    query = select(manifest_blobs.c.manifest_id, blobs.c.digest).join(
        blobs, blobs.c.id == manifest_blobs.c.blob_id
    )
    return _grouped(connection.execute(query.where(manifest_blobs.c.manifest_id.in_(manifest_ids))))


def _children_of(connection: Connection, manifest_ids: list[int]) -> dict[int, set[str]]:
    query = select(manifest_children.c.manifest_id, manifest_children.c.child_digest)
    return _grouped(connection.execute(query.where(manifest_children.c.manifest_id.in_(manifest_ids))))


def _grouped(rows: Iterable[Sequence[Any]]) -> dict[int, set[str]]:
    groups: dict[int, set[str]] = defaultdict(set)
    for key, value in rows:
        groups[key].add(value)
    return groups
