"""Fills the database of this registry with as many entries as it is told; grown.py says which.

python bench/grown_rows.py ENTRIES      run where the registry's package is found, with its REGISTRY_ variables

The rows are made by the database itself, the same statements for both, so that a million takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from registry.app import prepare
from registry.config import load
from registry.db.database import open_database

sys.path.append(str(Path(__file__).parents[1]))
from bench import full, grown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.db.database import Database

_NUMBERS: Final = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :entries - 1)
"""
_ROWS: Final = (
    "INSERT INTO repositories (id, name, created_at_us) VALUES (1, :repository, 0)",
    """INSERT INTO repositories (id, name, created_at_us)
    SELECT n + 2, 'many/app-' || substr(CAST(10000000 + n AS text), 2), 0 FROM numbers""",
    # Digests without any order, as real ones are: each lands somewhere in its index.
    """INSERT INTO manifests
    (id, repository_id, digest, media_type, size, complete, subject_digest, annotations, pushed_at_us, content)
    SELECT n + 1, 1, 'sha256:' || md5('a' || CAST(n AS text)) || md5('b' || CAST(n AS text)), :media_type, :size, true,
    CASE WHEN n % (:entries / :referrers) = 0 THEN :subject END, '{}', 0, :content FROM numbers""",
    """INSERT INTO tags (repository_id, name, manifest_id, updated_at_us)
    SELECT 1, 'build-' || substr(CAST(10000000 + n AS text), 2), n + 1, 0 FROM numbers""",
)


def main() -> None:
    """Make the tables and fill them."""
    config = load(None, {})
    prepare(config)
    database = open_database(config.database_url)
    fill(database, int(sys.argv[1]))
    database.close()


def fill(database: Database, entries: int) -> None:
    """All the rows; afterwards what a server's own housekeeping does in its first minute."""
    with database.engine.begin() as connection:
        postgres = connection.dialect.name == "postgresql"
        if not postgres:
            _know_md5(connection)
        for statement in _ROWS:
            connection.execute(text(f"{_NUMBERS} {statement}"), _values(statement, entries))
    if postgres:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
    os.sync()  # or the system is still writing when the first page is asked for


def _values(statement: str, entries: int) -> dict[str, Any]:
    values = {
        "entries": entries,
        "repository": grown.REPOSITORY,
        "referrers": grown.REFERRERS,
        "subject": grown.SUBJECT,
        "media_type": full.MEDIA_TYPE,
        "size": len(full.MANIFEST),
        "content": full.MANIFEST,
    }
    return {name: value for name, value in values.items() if name == "entries" or f":{name}" in statement}


def _know_md5(connection: Connection) -> None:
    """Postgres has it, SQLite does not."""
    driver: Any = connection.connection.driver_connection
    driver.create_function("md5", 1, lambda given: hashlib.md5(given.encode()).hexdigest())  # noqa: S324 - a name


if __name__ == "__main__":
    main()
