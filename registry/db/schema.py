"""The tables. A change here needs a migration beside it, which `tests/db/test_migrations.py` insists on.

Names are compared byte by byte on every database, so that lists come in the order that clients expect. Instants are
microseconds since 1970 (`_us`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_REVISION: Final = "0003"
"""The newest migration; here too, so that a start need not load alembic to see that nothing is to do."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowId = BigInteger().with_variant(Integer(), "sqlite")
Bytewise = Text().with_variant(Text(collation="C"), "postgresql")

repositories = Table(
    "repositories",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Bytewise, nullable=False, unique=True),
    Column("created_at_us", BigInteger, nullable=False),
)

# Content by digest, shared by all repositories. Not present: named by a manifest that was accepted without it
# (manifests.missing_references), or found to be gone, so that the next push brings it back. `publications` counts how
# often the bytes were pushed, so that who found them gone can tell whether somebody has brought them back since.
blobs = Table(
    "blobs",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("digest", Bytewise, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("present", Boolean(create_constraint=False), nullable=False),
    Column("publications", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

# Which repository may see which blob: the only way to any bytes.
repository_blobs = Table(
    "repository_blobs",
    metadata,
    Column("repository_id", RowId, ForeignKey("repositories.id"), primary_key=True),
    Column("blob_id", RowId, ForeignKey("blobs.id"), primary_key=True, index=True),
    Column("linked_at_us", BigInteger, nullable=False),
)

# `content` comes last, so that the other columns are read without walking over it.
manifests = Table(
    "manifests",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("repository_id", RowId, ForeignKey("repositories.id"), nullable=False),
    Column("digest", Bytewise, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column(
        "complete", Boolean(create_constraint=False), nullable=False
    ),  # all it names was there when it was accepted
    Column("subject_digest", Bytewise),
    Column("artifact_type", Text),
    Column("annotations", Text, nullable=False),  # JSON
    Column("pushed_at_us", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),  # the exact bytes as pushed
    UniqueConstraint("repository_id", "digest"),
)
Index(
    "ix_manifests_subject",
    manifests.c.repository_id,
    manifests.c.subject_digest,
    manifests.c.digest,
    sqlite_where=manifests.c.subject_digest.is_not(None),
    postgresql_where=manifests.c.subject_digest.is_not(None),
)

# The repository stands here again, so that "does a manifest of this repository name this blob" is one index lookup.
manifest_blobs = Table(
    "manifest_blobs",
    metadata,
    Column("manifest_id", RowId, ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("blob_id", RowId, ForeignKey("blobs.id"), primary_key=True),
    Column("repository_id", RowId, ForeignKey("repositories.id"), nullable=False),
    Index("ix_manifest_blobs_named_in", "repository_id", "blob_id"),
)

manifest_children = Table(
    "manifest_children",
    metadata,
    Column("manifest_id", RowId, ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("child_digest", Bytewise, primary_key=True),
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", RowId, ForeignKey("repositories.id"), primary_key=True),
    Column("name", Bytewise, primary_key=True),
    Column("manifest_id", RowId, ForeignKey("manifests.id"), nullable=False, index=True),
    Column("updated_at_us", BigInteger, nullable=False),
)

# `size` is how many bytes were acknowledged; the store may hold more, never fewer (but after a power cut). `state` is
# what the store needs to find them again, where it needs anything. Both change together, and only from what a request
# has read there: of two requests that write to one upload, one counts. `finishing` is empty, or the digest that the
# bytes hash to: then they are being published, and no more may come.
uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository", Bytewise, nullable=False),
    Column("principal", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("touched_at_us", BigInteger, nullable=False, index=True),
    Column("state", Text, nullable=False, server_default=""),
    Column("finishing", Text, nullable=False, server_default=""),
)

# What happened and may not be in the store's journal yet, as `operations/entries.py` spells it. The row goes when it is
# there. Its id is its place in the order of things, and is never given twice: hence AUTOINCREMENT.
journal = Table(
    "journal",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("entry", Text, nullable=False),
    sqlite_autoincrement=True,
)
