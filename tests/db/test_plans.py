"""Query plans: what a request asks for is found through an index, on both databases, however much there is."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import Connection, event, insert, text

from registry.db import blobs, inspection, journal, manifests, referrers, repositories, schema, tags, uploads
from registry.db.database import open_database
from registry.db.referrers import ReferrersOf
from registry.db.uploads import Upload
from registry.oci.digest import Digest
from registry.oci.names import RepositoryName, Tag
from tests.support.tables import migrated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.db.database import Database

REPOSITORIES: Final = 2000
ROWS: Final = 6000
BUSY: Final = 5
"""The repository that has half of the tags and referrers."""


def digest(kind: str, number: int) -> Digest:
    """A digest of nothing that is there."""
    return Digest(f"sha256:{hashlib.sha256(f'{kind} {number}'.encode()).hexdigest()}")


def name(number: int) -> RepositoryName:
    """The name of a repository."""
    return RepositoryName(f"team/app{number}")


SUBJECT: Final = digest("subject", 0)
MANIFEST: Final = digest("manifest", 5)
BLOB: Final = digest("blob", 5)
APP: Final = name(BUSY)
UPLOAD: Final = Upload("upload5", 0, "sha256")


def fill(connection: Connection) -> None:
    """Enough rows for a planner to know better than to walk over them."""
    homes = [BUSY if n % 2 else 1 + n % REPOSITORIES for n in range(ROWS + 1)]
    everything: dict[Any, list[dict[str, object]]] = {
        schema.repositories: [
            {"id": n, "name": name(n), "created_at_us": 0} for n in range(1, REPOSITORIES + 1)
        ],
        schema.blobs: [
            {
                "id": n,
                "digest": digest("blob", n),
                "size": n,
                "present": True,
                "publications": 1,
                "created_at_us": 0,
            }
            for n in range(1, ROWS + 1)
        ],
        schema.repository_blobs: [
            {"repository_id": homes[n], "blob_id": n, "linked_at_us": 0} for n in range(1, ROWS + 1)
        ],
        schema.manifests: [manifest_row(n, homes[n]) for n in range(1, ROWS + 1)],
        schema.manifest_blobs: [
            {"manifest_id": n, "blob_id": n, "repository_id": homes[n]} for n in range(1, ROWS + 1)
        ],
        schema.tags: [
            {
                "repository_id": homes[n],
                "name": f"v{n}",
                "manifest_id": n,
                "updated_at_us": 0,
            }
            for n in range(1, ROWS + 1)
        ],
        schema.uploads: [
            {
                "id": f"upload{n}",
                "repository": APP,
                "principal": "anonymous",
                "algorithm": "sha256",
                "size": 0,
                "started_at_us": n,
                "touched_at_us": n,
            }
            for n in range(ROWS)
        ],
    }
    for table, rows in everything.items():
        connection.execute(insert(table), rows)
    if connection.dialect.name == "postgresql":
        connection.execute(text("ANALYZE"))  # which autovacuum does in a minute; SQLite plans without


def manifest_row(number: int, repository_id: int) -> dict[str, object]:
    """A manifest, one in five of them a referrer."""
    return {
        "id": number,
        "repository_id": repository_id,
        "digest": digest("manifest", number),
        "media_type": "application/json",
        "size": 2,
        "complete": True,
        "subject_digest": SUBJECT if number % 5 == 0 else None,
        "artifact_type": "test/one",
        "annotations": "{}",
        "pushed_at_us": 0,
        "content": b"{}",
    }


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Give a database that is well filled."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'registry.db'}"
    else:
        url = request.getfixturevalue("postgres_cluster").create_database()
    with closing(open_database(migrated(url))) as database:
        with database.engine.begin() as connection:
            fill(connection)
        yield database


def hold_to_unlink(connection: Connection) -> None:
    """All that the deletion of a blob asks."""
    link = blobs.hold_to_unlink(connection, APP, BLOB)
    assert link
    blobs.manifests_naming(connection, *link, 10)
    blobs.unlink(connection, *link)


PAGES: Final[dict[str, Callable[[Connection], object]]] = {
    "tags": lambda c: tags.page(c, BUSY, "v1", 100),
    "catalog": lambda c: repositories.page(c, "team/app1", 10),
    "referrers": lambda c: referrers.keys(c, ReferrersOf(APP, SUBJECT, None), "", 100),
    "referrers behind": lambda c: referrers.keys(c, ReferrersOf(APP, SUBJECT, None), MANIFEST, 100),
    "referrers of a type": lambda c: referrers.keys(c, ReferrersOf(APP, SUBJECT, "test/one"), "", 10),
    "blobs to check": lambda c: inspection.present_blobs(c, BLOB, 10),
}
LOOKUPS: Final[dict[str, Callable[[Connection], object]]] = {
    "blob": lambda c: blobs.size_in(c, APP, BLOB),
    "manifest by tag": lambda c: manifests.find(c, APP, Tag("v5"), head=False),
    "manifest by digest": lambda c: manifests.find(c, APP, MANIFEST, head=False),
    "head by tag": lambda c: manifests.find(c, APP, Tag("v5"), head=True),
    "head by digest": lambda c: manifests.find(c, APP, MANIFEST, head=True),
    "repository": lambda c: repositories.find(c, APP),
    "who has a blob": lambda c: blobs.repositories_with(c, BLOB, 100),
    "blobs of a manifest": lambda c: blobs.hold(c, BUSY, [digest("blob", n) for n in range(30)]),
    "children of an index": lambda c: manifests.hold(c, BUSY, [digest("manifest", n) for n in range(30)]),
    "mount": lambda c: blobs.mount(c, APP, BLOB, 8),
    "blob pushed": lambda c: blobs.record(c, BUSY, BLOB, 5),
    "blob lost": lambda c: blobs.mark_absent(c, BLOB, 1),
    "blob deleted": hold_to_unlink,
    "tag deleted": lambda c: tags.delete_tag(c, APP, Tag("v5")),
    "tag moved": lambda c: tags.point(c, BUSY, Tag("v5"), 7),
    "manifest deleted": lambda c: manifests.delete_manifest(c, APP, MANIFEST),
    "referrers of a page": lambda c: referrers.fetch(c, [5, 15, 25]),
    "upload": lambda c: uploads.find(c, "upload5", APP, "anonymous"),
    "upload goes on": lambda c: uploads.resize(c, UPLOAD, 5, ""),
    "upload is published": lambda c: uploads.claim(c, UPLOAD, 5, "", BLOB),
    "upload ends": lambda c: uploads.end(c, "upload5"),
    "upload is cancelled": lambda c: uploads.cancel(c, "upload5"),
    "idle upload ends": lambda c: uploads.end_idle(c, "upload5", 50),
    "entry noted": lambda c: journal.note(c, "{}"),
    "idle uploads": lambda c: uploads.idle(c, 50, "", 100),
    "upload that goes on": lambda c: uploads.goes_on(c, "upload5", 50),
}


def plans(database: Database, query: Callable[[Connection], object]) -> list[str]:
    """The plan of each statement that the query function runs; what it writes is rolled back."""
    statements: list[tuple[str, Any]] = []

    def remember(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    with database.engine.connect() as connection, connection.begin() as transaction:
        event.listen(connection, "before_cursor_execute", remember)
        query(connection)
        event.remove(connection, "before_cursor_execute", remember)
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        found = [
            "\n".join(
                str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)
            )
            for statement, parameters in statements
        ]
        transaction.rollback()
    assert found
    return found


@pytest.mark.parametrize("query", PAGES)
def test_page(filled: Database, query: str) -> None:
    """A page is read from an index, in its order, and neither walks over a table nor sorts anything."""
    for plan in plans(filled, PAGES[query]):
        assert "SCAN" not in plan
        assert "Seq Scan" not in plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan


# SQLite plans for a row that would mend a broken foreign key, and does not go there while none is broken.
NEVER_DONE: Final = "SCAN manifest_blobs USING COVERING INDEX ix_manifest_blobs_named_in"

THE_LIST_ITSELF: Final = "SCAN json_each VIRTUAL TABLE"


@pytest.mark.parametrize("query", LOOKUPS)
def test_lookup(filled: Database, query: str) -> None:
    """What is asked for by its name is found through an index."""
    for plan in plans(filled, LOOKUPS[query]):
        assert "SCAN" not in plan.replace(NEVER_DONE, "").replace(THE_LIST_ITSELF, "")
        assert "(repository_id=?)" not in plan, "walks over all that a repository has"
        assert "Seq Scan" not in plan


def test_a_walk_is_noticed(filled: Database) -> None:
    """Where there is no index, the plan says so: these tests can fail."""
    statement = text("SELECT count(*) FROM manifests WHERE size = 5")
    [plan] = plans(filled, lambda connection: connection.execute(statement))
    assert "SCAN" in plan or "Seq Scan" in plan


def test_what_a_deletion_takes_along_is_indexed() -> None:
    """Whatever leads to a manifest can be found from it, or each deletion would walk over all of it."""
    for table in schema.metadata.sorted_tables:
        leading = {index.columns[0].name for index in table.indexes} | {table.primary_key.columns[0].name}
        for column in table.columns:
            if any(key.column.table is schema.manifests for key in column.foreign_keys):
                assert column.name in leading
