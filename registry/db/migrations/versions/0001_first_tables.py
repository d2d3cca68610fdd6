"""The first tables; `registry/db/schema.py` says what each is for."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make them."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "blobs",
        sa.Column("id", row_id, nullable=False),
        sa.Column("digest", bytewise, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("publications", sa.BigInteger(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("digest", name="uq_blobs_digest"),
    )
    op.create_table(
        "repositories",
        sa.Column("id", row_id, nullable=False),
        sa.Column("name", bytewise, nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sa.UniqueConstraint("name", name="uq_repositories_name"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository", bytewise, nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("touched_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_touched_at_us", "uploads", ["touched_at_us"])

    op.create_table(
        "manifests",
        sa.Column("id", row_id, nullable=False),
        sa.Column("repository_id", row_id, nullable=False),
        sa.Column("digest", bytewise, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("subject_digest", bytewise, nullable=True),
        sa.Column("artifact_type", sa.Text(), nullable=True),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("pushed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_manifests_repository_id"),
        sa.PrimaryKeyConstraint("id", name="pk_manifests"),
        sa.UniqueConstraint("repository_id", "digest", name="uq_manifests_repository_id_digest"),
    )
    op.create_index(
        "ix_manifests_subject",
        "manifests",
        ["repository_id", "subject_digest", "digest"],
        sqlite_where=sa.text("subject_digest IS NOT NULL"),
        postgresql_where=sa.text("subject_digest IS NOT NULL"),
    )

    op.create_table(
        "repository_blobs",
        sa.Column("repository_id", row_id, nullable=False),
        sa.Column("blob_id", row_id, nullable=False),
        sa.Column("linked_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_repository_blobs_blob_id"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_repository_blobs_repository_id"
        ),
        sa.PrimaryKeyConstraint("repository_id", "blob_id", name="pk_repository_blobs"),
    )
    op.create_index("ix_repository_blobs_blob_id", "repository_blobs", ["blob_id"])

    op.create_table(
        "manifest_blobs",
        sa.Column("manifest_id", row_id, nullable=False),
        sa.Column("blob_id", row_id, nullable=False),
        sa.Column("repository_id", row_id, nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_manifest_blobs_blob_id"),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_manifest_blobs_manifest_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_manifest_blobs_repository_id"
        ),
        sa.PrimaryKeyConstraint("manifest_id", "blob_id", name="pk_manifest_blobs"),
    )
    op.create_index("ix_manifest_blobs_named_in", "manifest_blobs", ["repository_id", "blob_id"])

    op.create_table(
        "manifest_children",
        sa.Column("manifest_id", row_id, nullable=False),
        sa.Column("child_digest", bytewise, nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_manifest_children_manifest_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("manifest_id", "child_digest", name="pk_manifest_children"),
    )
    op.create_table(
        "tags",
        sa.Column("repository_id", row_id, nullable=False),
        sa.Column("name", bytewise, nullable=False),
        sa.Column("manifest_id", row_id, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifests.id"], name="fk_tags_manifest_id"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_tags_repository_id"),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_tags"),
    )
    op.create_index("ix_tags_manifest_id", "tags", ["manifest_id"])
