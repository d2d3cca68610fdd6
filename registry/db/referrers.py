"""Referrers: manifests whose subject is a given digest (spec.md, Listing Referrers)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from registry.db.schema import manifests, repositories
from registry.oci.digest import Digest
from registry.oci.manifest import Referrer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.oci.names import RepositoryName


@dataclass(frozen=True, slots=True)
class ReferrersOf:
    """Which referrers are asked for: those of a digest, of one artifact type or (None) of any."""

    repository: RepositoryName
    subject: Digest
    artifact_type: str | None


@dataclass(frozen=True, slots=True)
class ReferrerKey:
    """A referrer and the bytes that its annotations take: enough to decide how many fit on a page."""

    manifest_id: int
    annotations_bytes: int


def keys(connection: Connection, wanted: ReferrersOf, last: str, limit: int) -> list[ReferrerKey]:
    """The first `limit` referrers behind the digest `last`, in the order of their digests."""
    # By a subquery, not a join: behind a join, Postgres reads all there is and sorts it for every page.
    repository_id = select(repositories.c.id).where(repositories.c.name == wanted.repository)
    query = (
        select(manifests.c.id, func.length(manifests.c.annotations).label("annotations_bytes"))
        .where(
            manifests.c.repository_id == repository_id.scalar_subquery(),
            manifests.c.subject_digest == wanted.subject,
            manifests.c.digest > last,
        )
        .order_by(manifests.c.digest)
        .limit(limit)
    )
    if wanted.artifact_type is not None:
        query = query.where(manifests.c.artifact_type == wanted.artifact_type)
    return [ReferrerKey(row.id, row.annotations_bytes) for row in connection.execute(query)]


def fetch(connection: Connection, manifest_ids: list[int]) -> list[Referrer]:
    """The rows of a page, in the order of their digests."""
    columns = manifests.c
    query = (
        select(columns.digest, columns.media_type, columns.size, columns.artifact_type, columns.annotations)
        .where(columns.id.in_(manifest_ids))
        .order_by(columns.digest)
    )
    return [
        Referrer(row.media_type, Digest(row.digest), row.size, row.artifact_type, json.loads(row.annotations))
        for row in connection.execute(query)
    ]
