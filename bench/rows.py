"""Fills the database of this registry with as many tags and repositories as full.py says.

python bench/rows.py FOLDER      run where the registry's package is found
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert

from registry.app import prepare
from registry.config import Config
from registry.db.database import open_database
from registry.db.schema import manifests, repositories, tags

sys.path.append(str(Path(__file__).parents[1]))
from bench import full

if TYPE_CHECKING:
    from sqlalchemy import Connection


def main() -> None:
    """Make the tables and fill them."""
    config = Config.model_validate({"storage": {"directory": sys.argv[1]}})
    prepare(config)
    database = open_database(config.database_url)
    with database.engine.begin() as connection:
        fill(connection)
    database.close()


def fill(connection: Connection) -> None:
    """All the rows; `tagged` repositories come first and have their number as id."""
    names = [full.tagged(count) for count in full.TAGS] + list(full.repositories())
    connection.execute(
        insert(repositories),
        [{"name": name, "created_at_us": 0, "id": at + 1} for at, name in enumerate(names)],
    )
    connection.execute(insert(manifests), [_manifest(at + 1) for at in range(len(names))])
    for at, count in enumerate(full.TAGS):
        connection.execute(insert(tags), [_tag(at + 1, number) for number in range(count)])


def _manifest(repository: int) -> dict[str, object]:
    return {
        "id": repository,
        "repository_id": repository,
        "digest": full.DIGEST,
        "media_type": full.MEDIA_TYPE,
        "size": len(full.MANIFEST),
        "complete": True,
        "annotations": "{}",
        "pushed_at_us": 0,
        "content": full.MANIFEST,
    }


def _tag(repository: int, number: int) -> dict[str, object]:
    return {
        "repository_id": repository,
        "name": full.tag(number),
        "manifest_id": repository,
        "updated_at_us": 0,
    }


if __name__ == "__main__":
    main()
