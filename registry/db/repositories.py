"""Repositories: rows that come into being with the first push."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from registry.db.clock import now_us
from registry.db.insertion import insert
from registry.db.schema import repositories
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from sqlalchemy import Connection


def find(connection: Connection, name: RepositoryName) -> int | None:
    """The id of a repository, None where nothing was ever pushed to it."""
    found: int | None = connection.scalar(select(repositories.c.id).where(repositories.c.name == name))
    return found


def ensure(connection: Connection, name: RepositoryName) -> int:
    """The id of a repository, which is made where it is not there."""
    found = find(connection, name)
    if found is not None:
        return found
    connection.execute(
        insert(connection, repositories).values(name=name, created_at_us=now_us()).on_conflict_do_nothing()
    )
    made: int = connection.scalars(select(repositories.c.id).where(repositories.c.name == name)).one()
    return made


def page(connection: Connection, last: str, limit: int) -> list[RepositoryName]:
    """The first `limit` names behind `last`, in byte order."""
    query = (
        select(repositories.c.name)
        .where(repositories.c.name > last)
        .order_by(repositories.c.name)
        .limit(limit)
    )
    return [RepositoryName(name) for name in connection.scalars(query)]
