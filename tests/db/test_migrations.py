"""Migrations: they lead to the tables that the code works with, once, however many processes start at once."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

import registry
from registry.db import migrate as migrations
from registry.db import repositories, tags
from registry.db.database import open_database
from registry.db.migrate import (
    SchemaOutdated,
    alembic_config,
    create,
    current_revision,
    migrate,
    require_current,
)
from registry.db.schema import SCHEMA_REVISION, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.db.database import Database

pytestmark = pytest.mark.anyio

PROCESSES: Final = 3
ROUNDS: Final = 8


@pytest.fixture
def empty_database(database_url: str) -> Iterator[Database]:
    """Give a database without tables."""
    with closing(open_database(database_url)) as database:
        yield database


@pytest.fixture
def migrators() -> Iterator[list[subprocess.Popen[str]]]:
    """Give several processes that wait for URLs of databases to migrate."""
    command = [sys.executable, "-m", "tests.db.migrator"]
    root = Path(registry.__file__).parent.parent
    with ExitStack() as stack:
        started = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=root
            )
            for _ in range(PROCESSES)
        ]
        for process in started:
            stack.enter_context(process)
            stack.callback(process.kill)
        yield started


def test_from_nothing(empty_database: Database) -> None:
    """An empty database has no revision, gets the newest, and needs nothing after that."""
    assert current_revision(empty_database) is None
    assert migrate(empty_database) is True
    assert current_revision(empty_database) == SCHEMA_REVISION
    assert migrate(empty_database) is False


def test_revision_is_the_newest(empty_database: Database) -> None:
    """The revision that a start compares with is alembic's newest, of which there is one."""
    with empty_database.engine.connect() as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [SCHEMA_REVISION]


def test_nothing_to_migrate(empty_database: Database) -> None:
    """The migrated tables are those of `schema.py`, as alembic compares them."""
    migrate(empty_database)
    with empty_database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_tables_are_the_same(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """They are so in all that alembic does not look at: collations, conditions of indexes, what a deletion takes."""
    if database_url.startswith("sqlite"):
        other_url = f"sqlite:///{tmp_path / 'other.db'}"
    else:
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        other_url = new()
    with closing(open_database(database_url)) as one, closing(open_database(other_url)) as two:
        migrate(one)
        with two.engine.begin() as connection:
            metadata.create_all(connection)
        with one.engine.connect() as migrated, two.engine.connect() as created:
            assert shape(migrated) == shape(created)
            assert len(shape(created)) > 50


def test_outdated_tables_are_refused(empty_database: Database) -> None:
    """A registry that does not migrate says which revision is there, which it needs, and how to get it."""
    told = f"there is no registry database|revision none, this registry needs {SCHEMA_REVISION}; run: registry migrate"
    with pytest.raises(SchemaOutdated, match=told):
        require_current(empty_database)
    migrate(empty_database)
    require_current(empty_database)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A registry that does not migrate makes no file either."""
    with (
        closing(open_database(f"sqlite:///{tmp_path / 'registry.db'}")) as database,
        pytest.raises(SchemaOutdated, match="there is no registry database at"),
    ):
        require_current(database)
    assert not (tmp_path / "registry.db").exists()


def test_newer_tables_are_refused(empty_database: Database) -> None:
    """The database of a newer registry is left as it is."""
    migrate(empty_database)
    with empty_database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        before = shape(connection)
    with pytest.raises(SchemaOutdated, match=f"9999, newer than this registry's {SCHEMA_REVISION}"):
        migrate(empty_database)
    with pytest.raises(SchemaOutdated, match="9999"):
        require_current(empty_database)
    with empty_database.engine.begin() as connection:
        assert shape(connection) == before


def test_failed_migration_leaves_nothing(empty_database: Database) -> None:
    """Migrations run in one transaction: where one fails, the database is as it was, and the next start tries again."""
    with empty_database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE tags (in_the_way int)"))
        before = shape(connection)
    with pytest.raises(Exception, match="tags"):
        migrate(empty_database)
    assert current_revision(empty_database) is None
    with empty_database.engine.begin() as connection:
        assert shape(connection) == before
        connection.execute(text("DROP TABLE tags"))
    assert migrate(empty_database)


async def test_migration_lets_others_pass(
    postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Postgres, a migration that has to wait for a table holds up nobody for long, and is done when it can be."""
    monkeypatch.setattr(migrations, "_LOCK_SECONDS_MAX", 0.2)
    with closing(open_database(url := postgres_url())) as database, closing(open_database(url)) as other:
        migrate(database)
        monkeypatch.setattr(migrations, "_upgrade", change_tags)
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        with other.engine.connect() as user:
            used = user.begin()
            user.execute(text("SELECT count(*) FROM tags"))
            migrating = asyncio.create_task(asyncio.to_thread(migrate, database))
            for _ in range(20):  # each would wait behind the migration, which waits for the one above
                await asyncio.wait_for(other.read(repositories.page, "", 1), 10)
                await asyncio.wait_for(other.read(tags.page, 1, "", 1), 10)
                await asyncio.sleep(0.1)
            assert not migrating.done()
            used.rollback()
        assert await asyncio.wait_for(migrating, 30)


async def test_migration_that_hangs(postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On Postgres, a migration that hangs in the middle loses its tables to others, fails, and has changed nothing."""
    monkeypatch.setattr(migrations, "_SILENT_SECONDS_MAX", 1)
    holding, release = threading.Event(), threading.Event()

    def hang(connection: Connection) -> bool:
        change_tags(connection)
        holding.set()
        return release.wait(30)

    with closing(open_database(url := postgres_url())) as database, closing(open_database(url)) as other:
        migrate(database)
        with database.engine.begin() as connection:
            before = shape(connection)
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        monkeypatch.setattr(migrations, "_upgrade", hang)
        migrating = asyncio.create_task(asyncio.to_thread(migrate, database))
        try:
            await asyncio.to_thread(holding.wait, 30)
            await asyncio.wait_for(other.read(tags.page, 1, "", 1), 10)
        finally:
            release.set()
        with pytest.raises(DBAPIError):
            await migrating
        with database.engine.begin() as connection:
            assert shape(connection) == before


def change_tags(connection: Connection) -> bool:
    """A migration that needs a table for itself."""
    connection.execute(text("ALTER TABLE tags ADD COLUMN note TEXT"))
    return True


def test_many_start_at_once_on_sqlite(migrators: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    """Of several processes that start on one empty file at the same moment, one migrates, and all can work."""
    for number in range(ROUNDS):
        assert migrate_at_once(migrators, f"sqlite:///{tmp_path / str(number)}.db") == [
            "False",
            "False",
            "True",
        ]


def test_many_start_at_once_on_postgres(
    migrators: list[subprocess.Popen[str]], postgres_url: Callable[[], str]
) -> None:
    """Of several processes that start on one empty database at the same moment, one migrates, and all can work."""
    for _ in range(ROUNDS):
        assert migrate_at_once(migrators, postgres_url()) == ["False", "False", "True"]


def migrate_at_once(migrators: list[subprocess.Popen[str]], url: str) -> list[str]:
    """What each process says about the database, sorted."""
    for process in migrators:
        assert process.stdin
        process.stdin.write(f"{url}\n")
        process.stdin.flush()
    answers = sorted(process.stdout.readline().strip() for process in migrators if process.stdout)
    with closing(open_database(url)) as database:
        require_current(database)
    return answers


def shape(connection: Connection) -> set[str]:
    """All that makes up the tables, a line for each, without alembic's own."""
    queries = SQLITE_SHAPE if connection.dialect.name == "sqlite" else POSTGRES_SHAPE
    lines = (" ".join(map(str, row)) for query in queries for row in connection.execute(text(query)))
    # Where an index has a condition, only one of the two spells the table's name before the column's.
    return {re.sub(r"manifests\.subject", "subject", line) for line in lines if "alembic_version" not in line}


SQLITE_SHAPE: Final = [
    'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_schema m, pragma_table_xinfo(m.name) c'
    " WHERE m.type = 'table'",
    'SELECT m.name, f."table", f."from", f."to", f.on_delete FROM sqlite_schema m, pragma_foreign_key_list(m.name) f',
    'SELECT m.name, i.name, i."unique", i.origin, i.partial, c.seqno, c.name, c.coll'
    " FROM sqlite_schema m, pragma_index_list(m.name) i, pragma_index_xinfo(i.name) c",
    "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
]
POSTGRES_SHAPE: Final = [
    "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
    " FROM information_schema.columns WHERE table_schema = 'public'",
    "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
]


def test_created_at_once(tmp_path: Path) -> None:
    """What `create` makes has the shape of what the migrations make, and they find nothing to do."""
    with (
        closing(open_database(f"sqlite:///{tmp_path / 'one.db'}")) as one,
        closing(open_database(f"sqlite:///{tmp_path / 'two.db'}")) as two,
    ):
        migrate(one)
        create(two)
        with one.engine.connect() as migrated, two.engine.connect() as created:
            assert shape(migrated) == shape(created)
        assert current_revision(two) == SCHEMA_REVISION
        assert migrate(two) is False


def test_created_only_where_nothing_is(tmp_path: Path) -> None:
    """A database that has tables is left as it is."""
    with closing(open_database(f"sqlite:///{tmp_path / 'registry.db'}")) as database:
        with database.engine.begin() as connection:
            connection.execute(text("CREATE TABLE something (else_ INTEGER)"))
        create(database)
        assert current_revision(database) is None
