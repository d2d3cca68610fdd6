"""${message}.

The law of a migration: the release before this one goes on running while and after it runs, so it adds and never
takes away; what is no longer used is dropped one release later. Rows are changed in small portions, never all in one
statement on a large table. On Postgres, build an index CONCURRENTLY and set a lock_timeout.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
