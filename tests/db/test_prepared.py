"""Prepared statements: the same rows from both databases, whichever way a statement reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from registry.db.prepared import Prepared
from registry.db.schema import repositories

if TYPE_CHECKING:
    from registry.db.database import Database

pytestmark = pytest.mark.anyio

ADD = Prepared(insert(repositories).values(name=bindparam("new_name"), created_at_us=7))
ADD_ONCE = Prepared(
    lambda insert: (
        insert(repositories)
        .values(name=bindparam("new_name"), created_at_us=bindparam("now"))
        .on_conflict_do_nothing()
        .returning(repositories.c.name)
    )
)
FIND = Prepared(
    select(repositories.c.name, repositories.c.created_at_us).where(repositories.c.name == bindparam("name"))
)
PAGE = Prepared(select(repositories.c.name).order_by(repositories.c.name).limit(bindparam("most")))
TOUCH = Prepared(update(repositories).values(created_at_us=bindparam("now")))
CLEAR = Prepared(delete(repositories))


async def test_rows(database: Database) -> None:
    """Rows come back in the order of the columns: the first, all of them, or a single value."""

    def fill_and_look(connection: Connection) -> None:
        ADD.run_each(connection, [{"new_name": name} for name in ("a", "b", "c")])
        assert tuple(FIND.first(connection, name="b") or ()) == ("b", 7)
        assert FIND.scalar(connection, name="c") == "c"
        assert [name for (name,) in PAGE.all(connection, most=2)] == ["a", "b"]

    await database.write(fill_and_look)


async def test_nothing_there(database: Database) -> None:
    """Where there is no row, there is None, or an empty list."""
    assert await database.read(FIND.first, name="a") is None
    assert await database.read(FIND.scalar, name="a") is None
    assert list(await database.read(PAGE.all, most=5)) == []


async def test_changed_rows_are_counted(database: Database) -> None:
    """A statement that changes rows says how many."""

    def change(connection: Connection) -> list[int]:
        ADD.run_each(connection, [{"new_name": name} for name in ("a", "b", "c")])
        return [TOUCH.run(connection, now=9), CLEAR.run(connection), CLEAR.run(connection)]

    assert await database.write(change) == [3, 3, 0]


async def test_conflicts(database: Database) -> None:
    """INSERT ... ON CONFLICT is spelled for the database that it runs on, and what it returns is that of this row."""

    def twice(connection: Connection) -> list[object]:
        return [ADD_ONCE.scalar(connection, new_name="a", now=now) for now in (1, 2)]

    assert await database.write(twice) == ["a", None]
    assert tuple(await database.read(FIND.first, name="a") or ()) == ("a", 1)


async def test_without_a_driver(database: Database) -> None:
    """On a connection of SQLAlchemy's own, as the migrations have it, a statement does the same."""
    await database.write(ADD.run, new_name="a")
    with database.engine.connect() as connection, connection.begin():
        assert tuple(FIND.first(connection, name="a") or ()) == ("a", 7)
        assert [name for (name,) in PAGE.all(connection, most=2)] == ["a"]


async def test_missing_value(database: Database) -> None:
    """A statement that is not given all of its values fails, and is not run with something else in their place."""
    with pytest.raises(Exception, match="name"):
        await database.read(FIND.first)
