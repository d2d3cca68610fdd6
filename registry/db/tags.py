"""Tags: names that point to a manifest of the same repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from registry.db.clock import now_us
from registry.db.insertion import insert
from registry.db.schema import repositories, tags
from registry.oci.names import Tag

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.oci.names import RepositoryName


def point(connection: Connection, repository_id: int, tag: Tag, manifest_id: int) -> None:
    """Let the tag point to the manifest, whether it existed or not."""
    statement = insert(connection, tags).values(
        repository_id=repository_id, name=tag, manifest_id=manifest_id, updated_at_us=now_us()
    )
    changed = {
        "manifest_id": statement.excluded.manifest_id,
        "updated_at_us": statement.excluded.updated_at_us,
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=[tags.c.repository_id, tags.c.name], set_=changed)
    )


def delete_tag(connection: Connection, repository: RepositoryName, tag: Tag) -> bool:
    """Take the tag away, and nothing else; whether it was there."""
    of_repository = select(repositories.c.id).where(repositories.c.name == repository).scalar_subquery()
    result = connection.execute(delete(tags).where(tags.c.repository_id == of_repository, tags.c.name == tag))
    return bool(result.rowcount)


def page(connection: Connection, repository_id: int, last: str, limit: int) -> list[Tag]:
    """The first `limit` tags behind `last`, in byte order."""
    query = (
        select(tags.c.name)
        .where(tags.c.repository_id == repository_id, tags.c.name > last)
        .order_by(tags.c.name)
        .limit(limit)
    )
    return [Tag(name) for name in connection.scalars(query)]
