"""Writes rows that were there before, many at a time: all is named by what it is called, not by ids, which are new.

Each function takes rows as dictionaries. To write one twice is to write it once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BindParameter, bindparam, select

from registry.db.prepared import Prepared
from registry.db.schema import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    tags,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from registry.oci.digest import Digest

    Rows = Sequence[Mapping[str, object]]

_PORTION: Final = 500


def put_repositories(connection: Connection, rows: Rows) -> None:
    """`repository`, `at_us`: it is there."""
    _each(_REPOSITORY, connection, rows)


def put_blobs(connection: Connection, rows: Rows) -> None:
    """`blob`, `bytes`, `is_there`, `at_us`: it has a row, which says that it is there where any says so."""
    _each(_EXPECTED, connection, [row for row in rows if not row["is_there"]])
    _each(_PRESENT, connection, [row for row in rows if row["is_there"]])


def put_links(connection: Connection, rows: Rows) -> None:
    """`repository`, `blob`, `at_us`: the one may see the other; both are there."""
    _each(_LINK, connection, rows)


def put_manifests(connection: Connection, rows: Rows) -> None:
    """`repository` and, as `new_...`, what else a manifest's row has: the repository, which is there, has it."""
    _each(_MANIFEST, connection, rows)


def put_named_blobs(connection: Connection, rows: Rows) -> None:
    """`repository`, `manifest`, `blob`: the manifest names the blob; all are there."""
    _each(_NAMED_BLOB, connection, rows)


def put_named_children(connection: Connection, rows: Rows) -> None:
    """`repository`, `manifest`, `child`: the manifest, which is there, names the child."""
    _each(_NAMED_CHILD, connection, rows)


def point_tag(connection: Connection, row: Mapping[str, object]) -> bool:
    """`repository`, `tag`, `manifest`, `at_us`: the tag points to the manifest; whether that is there."""
    return _TAG.scalar(connection, **row) is not None


def present_sizes(connection: Connection, digests: Collection[Digest]) -> dict[str, int]:
    """Sizes of those of the blobs that are said to be there."""
    found: dict[str, int] = {}
    ordered = sorted(digests)
    for start in range(0, len(ordered), _PORTION):
        query = select(blobs.c.digest, blobs.c.size).where(
            blobs.c.present, blobs.c.digest.in_(ordered[start : start + _PORTION])
        )
        found |= {row.digest: row.size for row in connection.execute(query)}
    return found


def missing(connection: Connection) -> list[tuple[str, str, int]]:
    """(repository, digest, size) of every blob that a repository should see, and that is not there."""
    query = (
        select(repositories.c.name, blobs.c.digest, blobs.c.size)
        .join_from(repository_blobs, blobs, blobs.c.id == repository_blobs.c.blob_id)
        .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
        .where(~blobs.c.present)
        .order_by(repositories.c.name, blobs.c.digest)
    )
    return [(row.name, row.digest, row.size) for row in connection.execute(query)]


def _each(statement: Prepared, connection: Connection, rows: Rows) -> None:
    if rows:
        statement.run_each(connection, rows)


def _blob(insert: Any, *, present: bool) -> Any:  # noqa: ANN401 - see Prepared
    statement = insert(blobs).values(
        digest=bindparam("blob"),
        size=bindparam("bytes"),
        present=present,
        publications=int(present),
        created_at_us=bindparam("at_us"),
    )
    if not present:
        return statement.on_conflict_do_nothing()
    changed = {"present": True, "size": statement.excluded.size, "publications": blobs.c.publications + 1}
    return statement.on_conflict_do_update(index_elements=[blobs.c.digest], set_=changed)


def _manifest(insert: Any) -> Any:  # noqa: ANN401 - see Prepared
    columns = [column.name for column in manifests.c if column.name not in {"id", "repository_id"}]
    values: dict[str, BindParameter[Any]] = {name: bindparam(f"new_{name}") for name in columns}
    statement = insert(manifests).values(repository_id=_REPOSITORY_ID, **values)
    changed = {name: statement.excluded[name] for name in ("media_type", "complete", "artifact_type")}
    return statement.on_conflict_do_update(
        index_elements=[manifests.c.repository_id, manifests.c.digest], set_=changed
    )


def _tag(insert: Any) -> Any:  # noqa: ANN401 - see Prepared
    columns = (tags.c.repository_id, tags.c.name, tags.c.manifest_id, tags.c.updated_at_us)
    name, at_us = (
        bindparam("tag", type_=tags.c.name.type),
        bindparam("at_us", type_=tags.c.updated_at_us.type),
    )
    found = (
        select(repositories.c.id, name, manifests.c.id, at_us)
        .join_from(repositories, manifests, manifests.c.repository_id == repositories.c.id)
        .where(repositories.c.name == bindparam("repository"), manifests.c.digest == bindparam("manifest"))
    )
    statement = insert(tags).from_select([column.name for column in columns], found)
    changed = {name: statement.excluded[name] for name in ("manifest_id", "updated_at_us")}
    statement = statement.on_conflict_do_update(
        index_elements=[tags.c.repository_id, tags.c.name], set_=changed
    )
    return statement.returning(tags.c.manifest_id)


_REPOSITORY_ID: Final = (
    select(repositories.c.id).where(repositories.c.name == bindparam("repository")).scalar_subquery()
)
_BLOB_ID: Final = select(blobs.c.id).where(blobs.c.digest == bindparam("blob")).scalar_subquery()
_MANIFEST_ID: Final = (
    select(manifests.c.id)
    .where(manifests.c.repository_id == _REPOSITORY_ID, manifests.c.digest == bindparam("manifest"))
    .scalar_subquery()
)
_REPOSITORY: Final = Prepared(
    lambda insert: (
        insert(repositories)
        .values(name=bindparam("repository"), created_at_us=bindparam("at_us"))
        .on_conflict_do_nothing()
    )
)
_PRESENT: Final = Prepared(lambda insert: _blob(insert, present=True))
_EXPECTED: Final = Prepared(lambda insert: _blob(insert, present=False))
_LINK: Final = Prepared(
    lambda insert: (
        insert(repository_blobs)
        .values(repository_id=_REPOSITORY_ID, blob_id=_BLOB_ID, linked_at_us=bindparam("at_us"))
        .on_conflict_do_nothing()
    )
)
_MANIFEST: Final = Prepared(_manifest)
_NAMED_BLOB: Final = Prepared(
    lambda insert: (
        insert(manifest_blobs)
        .values(manifest_id=_MANIFEST_ID, blob_id=_BLOB_ID, repository_id=_REPOSITORY_ID)
        .on_conflict_do_nothing()
    )
)
_NAMED_CHILD: Final = Prepared(
    lambda insert: (
        insert(manifest_children)
        .values(manifest_id=_MANIFEST_ID, child_digest=bindparam("child"))
        .on_conflict_do_nothing()
    )
)
_TAG: Final = Prepared(_tag)
