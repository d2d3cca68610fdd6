"""What object storage needs to find the bytes of an upload; a registry of before that works on beside this one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add two columns to `uploads`, empty where nobody says anything else."""
    for name in ("state", "finishing"):
        op.add_column("uploads", sa.Column(name, sa.Text(), nullable=False, server_default=""))
