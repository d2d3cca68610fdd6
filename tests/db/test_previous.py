"""The release before this one works on while, and after, its tables are migrated: what it says has the same answers.

tests/db/previous has what it said to its database (see `recording.py`).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from registry.db import manifests, tags
from registry.db.database import open_database
from registry.db.migrate import alembic_config, current_revision, migrate, require_current
from registry.db.schema import SCHEMA_REVISION
from registry.oci.names import RepositoryName, Tag
from tests.db.recording import DATABASES, PHASES, REPOSITORY, TAG, Said, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.db.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give a database without tables."""
    with closing(open_database(database_url)) as database:
        yield database


@pytest.fixture
def said(database: Database) -> list[Said]:
    """Give what the release before this one said to such a database."""
    return load("sqlite" if database.engine.dialect.name == "sqlite" else "postgres")[1]


def say(database: Database, said: list[Said], *phases: str) -> None:
    """Say it again, in these phases; the answers must be the same."""
    for it in said:
        if it.phase in phases:
            assert it.again(database.engine) == it.rows, it.statement


def migrate_to(database: Database, revision: str) -> None:
    """The tables as they were in this revision."""
    with database.engine.connect() as connection, connection.begin():
        command.upgrade(alembic_config(connection), revision)


@pytest.mark.parametrize("kind", DATABASES)
def test_recording_is_of_the_release_before(kind: str) -> None:
    """What is said again was said to tables one revision older, or to these: a release may skip none."""
    revision, said = load(kind)
    assert 0 <= int(SCHEMA_REVISION) - int(revision) <= 1, (
        "check out the last commit before the newest migration, and there: python -m tests.db.recording"
    )
    assert [sum(it.phase == phase for it in said) > 20 for phase in PHASES] == [True, True]


def test_release_before_works_on_newer_tables(database: Database, said: list[Said]) -> None:
    """All that an old replica does, a whole push included, it can do on the newest tables."""
    migrate(database)
    say(database, said, "push", "use")


def test_release_before_works_on_during_migration(database: Database, said: list[Said]) -> None:
    """An old replica goes on with its own rows, and has the same answers, when the tables are migrated under it."""
    migrate_to(database, load("sqlite")[0])
    say(database, said, "push")
    migrate(database)
    assert current_revision(database) == SCHEMA_REVISION
    say(database, said, "use")


async def test_this_release_serves_what_the_one_before_pushed(database: Database, said: list[Said]) -> None:
    """What an old replica pushes to the newest tables, a new one serves."""
    migrate(database)
    say(database, said, "push")
    app = RepositoryName(REPOSITORY)
    manifest = await database.read(manifests.find, app, Tag(TAG), head=False)
    assert manifest is not None
    assert manifest.content is not None
    assert len(manifest.content) == manifest.size
    names = await database.read(tags.page, 1, "", 10)
    assert names == ["again", "latest", "many", "sparse"]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE uploads RENAME COLUMN algorithm TO digest_algorithm",
        "ALTER TABLE tags DROP COLUMN updated_at_us",
        "DROP TABLE manifest_children",
        "CREATE UNIQUE INDEX one_each ON tags (manifest_id)",
        "UPDATE blobs SET size = size + 1",
    ],
)
def test_breaking_change_is_found(database: Database, said: list[Said], change: str) -> None:
    """A migration against its law is found: one that renames, takes away, asks for more or changes what there is."""
    migrate(database)
    before, after = ("push", "use") if change.startswith("UPDATE") else ("", "push")
    say(database, said, before)
    with database.engine.connect() as connection, connection.begin():
        connection.execute(text(change))
    with pytest.raises((DBAPIError, AssertionError)):
        say(database, said, after)


def test_release_before_starts_on_newer_tables(database: Database) -> None:
    """A registry starts, and leaves them alone, on tables that are one revision newer than its own; not on others."""
    migrate(database)
    set_revision(database, 1)
    require_current(database)
    assert migrate(database) is False
    set_revision(database, 2)
    with pytest.raises(Exception, match="newer than this registry's"):
        migrate(database)


def set_revision(database: Database, ahead: int) -> None:
    """Say that so many migrations ran that this registry does not know."""
    with database.engine.connect() as connection, connection.begin():
        connection.execute(
            text("UPDATE alembic_version SET version_num = :it"), {"it": f"{int(SCHEMA_REVISION) + ahead:04}"}
        )
