"""Manifests: the exact bytes as pushed, and what they name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select

from registry.db.clock import now_us
from registry.db.listed import is_listed, listed
from registry.db.prepared import Prepared
from registry.db.schema import manifest_blobs, manifest_children, manifests, repositories, tags
from registry.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Select

    from registry.oci.manifest import Manifest
    from registry.oci.names import Reference, RepositoryName


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
    row = statement.first(connection, repository=repository, reference=reference)
    if row is None:
        return None
    digest, media_type, size, *content = row
    return StoredManifest(Digest(digest), media_type, size, content[0] if content else None)


def insert_manifest(
    connection: Connection, repository_id: int, digest: Digest, manifest: Manifest, *, complete: bool
) -> int:
    """The id of the manifest in the repository; pushed again, it gets the media type of the last push."""
    manifest_id: int = _INSERT.scalar(
        connection,
        new_repository_id=repository_id,
        new_digest=digest,
        new_media_type=manifest.media_type,
        new_size=len(manifest.content),
        new_complete=complete,
        new_subject_digest=manifest.subject and manifest.subject.digest,
        new_artifact_type=manifest.artifact_type,
        new_annotations=json.dumps(manifest.annotations),
        new_pushed_at_us=now_us(),
        new_content=manifest.content,
    )
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
        _NAME_BLOB.run_each(connection, rows)
    if children:
        named = [{"manifest_id": manifest_id, "child": child} for child in sorted(children)]
        _NAME_CHILD.run_each(connection, named)


def hold(connection: Connection, repository_id: int, digests: Collection[Digest]) -> dict[Digest, int]:
    """Sizes of those manifests that the repository has, kept from deletion until the transaction ends."""
    if not digests:
        return {}
    rows = _HOLD.all(connection, repository_id=repository_id, digests=listed(digests))
    return {Digest(digest): size for digest, size in rows}


def delete_manifest(connection: Connection, repository: RepositoryName, digest: Digest) -> bool:
    """Delete a manifest, the tags that point to it, and what it says it names; whether it was there."""
    manifest_id = _HOLD_TO_DELETE.scalar(connection, repository=repository, reference=digest)
    if manifest_id is None:
        return False
    _DELETE_TAGS.run(connection, manifest_id=manifest_id)
    _DELETE.run(connection, manifest_id=manifest_id)
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


def _insert(insert: Any) -> Any:  # noqa: ANN401 - see Prepared
    columns = [column.name for column in manifests.c if column.name != "id"]
    statement = insert(manifests).values({name: bindparam(f"new_{name}") for name in columns})
    changed = {name: statement.excluded[name] for name in ("media_type", "complete", "artifact_type")}
    statement = statement.on_conflict_do_update(
        index_elements=[manifests.c.repository_id, manifests.c.digest], set_=changed
    )
    return statement.returning(manifests.c.id)


_HEAD: Final = select(manifests.c.digest, manifests.c.media_type, manifests.c.size)
_WHOLE: Final = _HEAD.add_columns(manifests.c.content)
_FIND: Final = {
    (True, True): Prepared(_by_digest(_HEAD)),
    (True, False): Prepared(_by_tag(_HEAD)),
    (False, True): Prepared(_by_digest(_WHOLE)),
    (False, False): Prepared(_by_tag(_WHOLE)),
}
_INSERT: Final = Prepared(_insert)
_NAME_BLOB: Final = Prepared(
    lambda insert: (
        insert(manifest_blobs)
        .values({name: bindparam(name) for name in ("manifest_id", "blob_id", "repository_id")})
        .on_conflict_do_nothing()
    )
)
_NAME_CHILD: Final = Prepared(
    lambda insert: (
        insert(manifest_children)
        .values(manifest_id=bindparam("manifest_id"), child_digest=bindparam("child"))
        .on_conflict_do_nothing()
    )
)
_HOLD: Final = Prepared(
    select(manifests.c.digest, manifests.c.size)
    .where(
        manifests.c.repository_id == bindparam("repository_id"),
        is_listed(manifests.c.digest, "digests"),
    )
    .order_by(manifests.c.digest)
    .with_for_update(read=True, key_share=True)
)
_HOLD_TO_DELETE: Final = Prepared(_by_digest(select(manifests.c.id)).with_for_update(of=manifests))
_DELETE_TAGS: Final = Prepared(delete(tags).where(tags.c.manifest_id == bindparam("manifest_id")))
_DELETE: Final = Prepared(delete(manifests).where(manifests.c.id == bindparam("manifest_id")))
