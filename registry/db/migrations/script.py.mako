"""${message}.

The law of a migration: the release before this one goes on running while and after it runs, pushes included, and may
even start anew on these tables; so may old and new replicas side by side.

- It adds and never takes away. A new column has a server default or may be null, for the old release does not name it.
  Nothing is renamed; no constraint, trigger or unique index refuses what the old release writes; the meaning of a column
  stays. What is no longer used is dropped by a migration of the next release.
- The new release works on rows that the old one goes on writing: it never relies on a new column being filled.
- All of this holds for what is no table, too: the state of uploads, the JSON of indexes, lines of the journal, snapshots.
  Old and new replicas read each other's.
- It is short: all of it is one transaction. On Postgres it waits two seconds at most for a table, then lets others pass
  and tries again, so a statement that needs a table for itself comes last and touches no rows (no default that is
  computed for each row, no change of a type, no NOT NULL without a default). Rows are filled in small portions by the
  running release, not here. An index on a large table is built CONCURRENTLY, beside the migrations, before the release
  that needs it.
- One step at a time: a release works on its own tables and on those of the next revision, and no further. Replicas go
  from one release to the next without skipping any, or are stopped.

Before you add one: `python -m tests.db.recording` on the commit before it, so that `tests/db/test_previous.py` says what
that release says to the tables that this leads to.
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
