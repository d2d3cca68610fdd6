"""Manifests: the exact bytes as pushed, and what they name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select

from registry.db.clock import now_us
from registry.db.insertion import insert
from registry.db.schema import manifest_blobs, manifest_children, manifests, repositories, tags
from registry.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Select

    from registry.oci.manifest import Manifest
    from registry.oci.names import Reference, RepositoryName

_PORTION = 500


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it is served; `content` is None where only the head was asked for."""

    digest: Digest
    media_type: str
    size: int
    content: bytes | None


def find(
    connection: Connection, repository: RepositoryName, reference: Reference, *, head: bool
) -> StoredManifest | None:
    """The manifest that a tag or digest refers to in a repository; without its content for `head`."""
    statement = _FIND[head, isinstance(reference, Digest)]
    row = connection.execute(statement, {"repository": repository, "reference": reference}).first()
    if row is None:
        return None
    return StoredManifest(Digest(row.digest), row.media_type, row.size, None if head else row.content)


def insert_manifest(
    connection: Connection, repository_id: int, digest: Digest, manifest: Manifest, *, complete: bool
) -> int:
    """The id of the manifest in the repository; pushed again, it gets the media type of the last push."""
    values = {
        "repository_id": repository_id,
        "digest": digest,
        "media_type": manifest.media_type,
        "size": len(manifest.content),
        "complete": complete,
        "subject_digest": manifest.subject and manifest.subject.digest,
        "artifact_type": manifest.artifact_type,
        "annotations": json.dumps(manifest.annotations),
        "pushed_at_us": now_us(),
        "content": manifest.content,
    }
    statement = insert(connection, manifests).values(values)
    changed = {name: statement.excluded[name] for name in ("media_type", "complete", "artifact_type")}
    statement = statement.on_conflict_do_update(
        index_elements=[manifests.c.repository_id, manifests.c.digest], set_=changed
    )
    manifest_id: int = connection.scalars(statement.returning(manifests.c.id)).one()
    return manifest_id


def insert_references(
    connection: Connection,
    repository_id: int,
    manifest_id: int,
    blob_ids: Collection[int],
    children: Collection[Digest],
) -> None:
    """What the manifest names."""
    if blob_ids:
        rows = [
            {"manifest_id": manifest_id, "blob_id": blob_id, "repository_id": repository_id}
            for blob_id in sorted(blob_ids)
        ]
        connection.execute(insert(connection, manifest_blobs).on_conflict_do_nothing(), rows)
    if children:
        named = [{"manifest_id": manifest_id, "child_digest": child} for child in sorted(children)]
        connection.execute(insert(connection, manifest_children).on_conflict_do_nothing(), named)


def hold(connection: Connection, repository_id: int, digests: Collection[Digest]) -> set[Digest]:
    """Those of the digests that are manifests of the repository, kept from deletion until the transaction ends."""
    found: set[Digest] = set()
    ordered = sorted(digests)
    for start in range(0, len(ordered), _PORTION):
        query = (
            select(manifests.c.digest)
            .where(
                manifests.c.repository_id == repository_id,
                manifests.c.digest.in_(ordered[start : start + _PORTION]),
            )
            .order_by(manifests.c.digest)
            .with_for_update(read=True, key_share=True)
        )
        found |= {Digest(digest) for digest in connection.scalars(query)}
    return found


def delete_manifest(connection: Connection, repository: RepositoryName, digest: Digest) -> bool:
    """Delete a manifest, the tags that point to it, and what it says it names; whether it was there."""
    query = _by_digest(select(manifests.c.id)).with_for_update(of=manifests)
    manifest_id = connection.scalar(query, {"repository": repository, "reference": digest})
    if manifest_id is None:
        return False
    connection.execute(delete(tags).where(tags.c.manifest_id == manifest_id))
    connection.execute(delete(manifests).where(manifests.c.id == manifest_id))
    return True


def _by_digest(query: Select[Any]) -> Select[Any]:
    return _in_repository(query).where(manifests.c.digest == bindparam("reference"))


def _by_tag(query: Select[Any]) -> Select[Any]:
    # By the tag's own repository, which is the same one, so that its primary key leads to the row.
    query = _in_repository(query).join(tags, tags.c.manifest_id == manifests.c.id)
    return query.where(tags.c.repository_id == repositories.c.id, tags.c.name == bindparam("reference"))


def _in_repository(query: Select[Any]) -> Select[Any]:
    query = query.join_from(manifests, repositories, repositories.c.id == manifests.c.repository_id)
    return query.where(repositories.c.name == bindparam("repository"))


# Built once: to build one takes several times as long as to run it.
_HEAD = select(manifests.c.digest, manifests.c.media_type, manifests.c.size)
_WHOLE = _HEAD.add_columns(manifests.c.content)
_FIND = {
    (True, True): _by_digest(_HEAD),
    (True, False): _by_tag(_HEAD),
    (False, True): _by_digest(_WHOLE),
    (False, False): _by_tag(_WHOLE),
}
