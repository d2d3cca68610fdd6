"""Repositories: rows that come into being with the first push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from registry.db.clock import now_us
from registry.db.prepared import Prepared
from registry.db.schema import repositories
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from sqlalchemy import Connection


def find(connection: Connection, name: RepositoryName) -> int | None:
    """The id of a repository, None where nothing was ever pushed to it."""
    found: int | None = _FIND.scalar(connection, repository=name)
    return found


def ensure(connection: Connection, name: RepositoryName) -> int:
    """The id of a repository, which is made where it is not there."""
    found = find(connection, name)
    if found is not None:
        return found
    _MAKE.run(connection, repository=name, now=now_us())
    made: int = _FIND.scalar(connection, repository=name)
    return made


def page(connection: Connection, last: str, limit: int) -> list[RepositoryName]:
    """The first `limit` names behind `last`, in byte order."""
    return [RepositoryName(name) for (name,) in _PAGE.all(connection, last=last, most=limit)]


_FIND: Final = Prepared(select(repositories.c.id).where(repositories.c.name == bindparam("repository")))
_MAKE: Final = Prepared(
    lambda insert: (
        insert(repositories)
        .values(name=bindparam("repository"), created_at_us=bindparam("now"))
        .on_conflict_do_nothing()
    )
)
_PAGE: Final = Prepared(
    select(repositories.c.name)
    .where(repositories.c.name > bindparam("last"))
    .order_by(repositories.c.name)
    .limit(bindparam("most"))
)
