"""Tags: names that point to a manifest of the same repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select

from registry.db.clock import now_us
from registry.db.prepared import Prepared
from registry.db.schema import repositories, tags
from registry.oci.names import Tag

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.oci.names import RepositoryName


def point(connection: Connection, repository_id: int, tag: Tag, manifest_id: int) -> None:
    """Let the tag point to the manifest, whether it existed or not."""
    _POINT.run(connection, repository_id=repository_id, tag=tag, manifest_id=manifest_id, now=now_us())


def delete_tag(connection: Connection, repository: RepositoryName, tag: Tag) -> bool:
    """Take the tag away, and nothing else; whether it was there."""
    return bool(_DELETE.run(connection, repository=repository, tag=tag))


def page(connection: Connection, repository_id: int, last: str, limit: int) -> list[Tag]:
    """The first `limit` tags behind `last`, in byte order."""
    rows = _PAGE.all(connection, repository_id=repository_id, last=last, most=limit)
    return [Tag(name) for (name,) in rows]


def _point(insert: Any) -> Any:  # noqa: ANN401 - see Prepared
    statement = insert(tags).values(
        repository_id=bindparam("repository_id"),
        name=bindparam("tag"),
        manifest_id=bindparam("manifest_id"),
        updated_at_us=bindparam("now"),
    )
    changed = {name: statement.excluded[name] for name in ("manifest_id", "updated_at_us")}
    return statement.on_conflict_do_update(index_elements=[tags.c.repository_id, tags.c.name], set_=changed)


_OF_REPOSITORY: Final = (
    select(repositories.c.id).where(repositories.c.name == bindparam("repository")).scalar_subquery()
)
_POINT: Final = Prepared(_point)
_DELETE: Final = Prepared(
    delete(tags).where(tags.c.repository_id == _OF_REPOSITORY, tags.c.name == bindparam("tag"))
)
_PAGE: Final = Prepared(
    select(tags.c.name)
    .where(tags.c.repository_id == bindparam("repository_id"), tags.c.name > bindparam("last"))
    .order_by(tags.c.name)
    .limit(bindparam("most"))
)
