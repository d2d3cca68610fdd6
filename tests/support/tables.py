"""Databases that have their tables already and no rows: made once, emptied for each test that asks for one."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from registry.db.database import Database, open_database
from registry.db.migrate import migrate
from registry.db.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Cluster


def migrated(url: str) -> str:
    """The URL, whose database has its tables now."""
    with closing(open_database(url)) as database:
        migrate(database)
    return url


def empty(database: Database) -> None:
    """Take every row away, and give ids from the first on again."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            names = ", ".join(metadata.tables)
            connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        else:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
            connection.exec_driver_sql("DELETE FROM sqlite_sequence")


@pytest.fixture(scope="session")
def postgres_with_tables(postgres_cluster: Cluster) -> str:
    """Give the URL of one Postgres database, used by one test after the other."""
    return migrated(postgres_cluster.create_database())


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite file to copy from."""
    file = tmp_path_factory.mktemp("sqlite") / "registry.db"
    migrated(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_tables_url(sqlite_with_tables: Path, tmp_path: Path) -> str:
    """Give the URL of an SQLite file without rows."""
    shutil.copy(sqlite_with_tables, tmp_path / "registry.db")
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def postgres_tables_url(postgres_with_tables: str) -> str:
    """Give the URL of a Postgres database without rows."""
    with closing(open_database(postgres_with_tables)) as database:
        empty(database)
    return postgres_with_tables


@pytest.fixture(params=["sqlite", "postgres"])
def tables_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a database without rows: the test runs once on SQLite and once on Postgres."""
    url: str = request.getfixturevalue(f"{request.param}_tables_url")
    return url


@pytest.fixture
def database(tables_url: str) -> Iterator[Database]:
    """Give a database without rows, on SQLite and on Postgres."""
    with closing(open_database(tables_url)) as database:
        yield database


@pytest.fixture
def postgres(postgres_tables_url: str) -> Iterator[Database]:
    """Give a Postgres database without rows: for what has to do with its locks."""
    with closing(open_database(postgres_tables_url)) as database:
        yield database
