"""The databases that the tests run on are what they claim to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine, inspect, text

if TYPE_CHECKING:
    from collections.abc import Callable


def sqlalchemy_url(url: str) -> str:
    """The URL with the driver's name in it."""
    return url.replace("postgresql:", "postgresql+psycopg:")


def test_database_is_empty(database_url: str) -> None:
    """A database URL leads to a database without tables."""
    engine = create_engine(sqlalchemy_url(database_url))
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_each_call_gives_another_database(postgres_url: Callable[[], str]) -> None:
    """What is written to one Postgres database is not in the next."""
    first, second = (create_engine(sqlalchemy_url(postgres_url())) for _ in range(2))
    with first.begin() as connection:
        connection.execute(text("CREATE TABLE mark (n int)"))
    assert inspect(first).get_table_names() == ["mark"]
    assert inspect(second).get_table_names() == []
    first.dispose()
    second.dispose()


def test_postgres_sorts_as_people_do(postgres_url: Callable[[], str]) -> None:
    """Byte order has to be asked for: a query that forgets it would be caught."""
    engine = create_engine(sqlalchemy_url(postgres_url()))
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT 'a' < 'B'")) is True
        assert connection.scalar(text("SELECT 'a' COLLATE \"C\" < 'B'")) is False
    engine.dispose()
