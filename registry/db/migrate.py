"""Brings the tables of a database up to date, once, however many processes start at the same moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from registry.db.schema import SCHEMA_REVISION, metadata
from registry.db.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from alembic.config import Config

    from registry.db.database import Database

_ADVISORY_LOCK = 0x7265_6769_7374_7279  # "registry"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LOCK_SECONDS_MAX: Final = 2
_SILENT_SECONDS_MAX: Final = 60
_ATTEMPTS_MAX: Final = 30
_PAUSE_SECONDS: Final = 1
_NEXT_REVISION: Final = f"{int(SCHEMA_REVISION) + 1:04}"
_VERSION_TABLE = (
    "CREATE TABLE alembic_version"
    " (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


class SchemaOutdated(Exception):
    """The tables are not those that this version of the registry works with."""


def migrate(database: Database) -> bool:
    """Run what is missing, in one transaction; whether anything was.

    On Postgres, a change of a table waits for the transactions that use it, and whoever comes later waits behind it:
    so it waits for a moment only, lets the others pass, and tries again. A process that hangs in the middle loses the
    tables to the others after a minute.
    """
    if is_current(current_revision(database)):
        return False
    for _ in range(_ATTEMPTS_MAX - 1):
        try:
            return _migrate(database)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            time.sleep(_PAUSE_SECONDS)
    return _migrate(database)


def is_current(revision: str | None) -> bool:
    """Whether this registry works with tables of this revision: its own, or the next one.

    A migration leaves the release before it working (see the template of migrations), so that old and new replicas
    run side by side, and an old one may start anew.
    """
    return revision in {SCHEMA_REVISION, _NEXT_REVISION}


def create(database: Database) -> None:
    """Make the newest tables in an empty SQLite database: what the migrations make, in a fraction of their time."""
    with database.engine.connect() as connection:
        connection.info["begin"] = "BEGIN IMMEDIATE"
        with connection.begin():
            if inspect(connection).get_table_names():
                return
            metadata.create_all(connection)
            connection.execute(text(_VERSION_TABLE))
            connection.execute(text("INSERT INTO alembic_version VALUES (:it)"), {"it": SCHEMA_REVISION})


def has_tables(database: Database) -> bool:
    """Whether a registry has made its tables, of whatever revision; a file that is not there is not made."""
    return not _is_missing_file(database) and current_revision(database) is not None


def require_current(database: Database) -> None:
    """SchemaOutdated unless this registry works with the tables; a file that is not there is not made."""
    if _is_missing_file(database):
        raise SchemaOutdated(f"there is no registry database at {database.engine.url.database}")
    found = current_revision(database)
    if not is_current(found):
        raise SchemaOutdated(
            f"the database is at revision {found or 'none'}, this registry needs {SCHEMA_REVISION};"
            " run: registry migrate"
        )


def current_revision(database: Database) -> str | None:
    """The newest migration that has run, None in an empty database."""
    with database.engine.connect() as connection, connection.begin():
        return _revision(connection)


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings for running our migrations on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _is_missing_file(database: Database) -> bool:
    return isinstance(database, SqliteDatabase) and not Path(database.engine.url.database or "").exists()


def _migrate(database: Database) -> bool:
    with database.engine.connect() as connection:
        if isinstance(database, SqliteDatabase):
            connection.info["begin"] = "BEGIN IMMEDIATE"
        with connection.begin():
            if not isinstance(database, SqliteDatabase):
                connection.execute(text("SET LOCAL synchronous_commit = on"))
                silent = f"SET LOCAL idle_in_transaction_session_timeout = '{_SILENT_SECONDS_MAX}s'"
                connection.execute(text(silent))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS_MAX}s'"))
            return _upgrade(connection)


def _upgrade(connection: Connection) -> bool:
    found = _revision(connection)
    if is_current(found):
        return False  # another process was faster
    if found is not None and found > SCHEMA_REVISION:
        raise SchemaOutdated(
            f"the database is at revision {found}, newer than this registry's {SCHEMA_REVISION}"
        )
    from alembic import command

    command.upgrade(alembic_config(connection), "head")
    return True


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
