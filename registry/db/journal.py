"""What happened and may not be in the store's journal yet, and the ids by which the journal is put in order."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, func, insert, select, text

from registry.db.clock import now_us
from registry.db.prepared import Prepared
from registry.db.schema import journal, repositories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_ONE_AT_A_TIME: Final = 0x6A6F_7572_6E61_6C00  # "journal"
_LEFT_OVER_MAX: Final = 1000


def note(connection: Connection, entry: str) -> int:
    """Keep the entry until it is in the store's journal; its id.

    To be called last in a transaction: then the rows that it changed are its own until it ends, so that of two entries
    about one thing the later one has the greater id.
    """
    entry_id: int = _NOTE.scalar(connection, entry=entry, now=now_us())
    return entry_id


def remove(connection: Connection, ids: Sequence[int]) -> None:
    """These entries are in the store's journal."""
    _REMOVE.run_each(connection, [{"entry_id": entry_id} for entry_id in sorted(ids)])


def left_over(connection: Connection, since_us: int, bytes_max: int) -> list[tuple[int, str]]:
    """(id, entry) of the first that have been waiting since then: one, and more up to `bytes_max` in all."""
    waiting = select(journal.c.id, func.length(journal.c.entry).label("size")).where(
        journal.c.at_us < since_us
    )
    sizes = connection.execute(waiting.order_by(journal.c.id).limit(_LEFT_OVER_MAX)).all()
    ends = accumulate(row.size for row in sizes)
    ids = [row.id for row, end in zip(sizes, ends, strict=True) if row is sizes[0] or end <= bytes_max]
    query = select(journal.c.id, journal.c.entry).where(journal.c.id.in_(ids))
    return [(row.id, row.entry) for row in connection.execute(query.order_by(journal.c.id))]


def is_empty(connection: Connection) -> bool:
    """Whether nothing was ever pushed to this database."""
    return connection.scalar(select(repositories.c.id).limit(1)) is None


def highest(connection: Connection) -> int:
    """The greatest id that was ever given, though its transaction may not have ended yet."""
    found: int | None = connection.scalar(text(_HIGHEST[connection.dialect.name]))
    return found or 0


def advance(connection: Connection, beyond: int) -> bool:
    """Give only greater ids from now on; whether smaller ones were to come."""
    if connection.dialect.name == "postgresql":  # or two of us could set it back between them
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    if highest(connection) >= beyond:
        return False
    for statement in _ADVANCE[connection.dialect.name]:
        connection.execute(text(statement), {"beyond": beyond})
    return True


def writers(connection: Connection) -> set[str]:
    """The transactions under way that may hold an id; what has gone from here later has ended, and is seen by all."""
    if connection.dialect.name != "postgresql":  # SQLite has one writer: what is given is what is committed
        return set()
    return set(connection.scalars(text(_WRITERS)))


_NOTE: Final = Prepared(
    insert(journal).values(entry=bindparam("entry"), at_us=bindparam("now")).returning(journal.c.id)
)
_REMOVE: Final = Prepared(delete(journal).where(journal.c.id == bindparam("entry_id")))
_HIGHEST: Final = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = 'journal'",
    "postgresql": "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM journal_id_seq",
}
_ADVANCE: Final = {
    "sqlite": (
        "DELETE FROM sqlite_sequence WHERE name = 'journal'",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', :beyond)",
    ),
    "postgresql": ("SELECT setval('journal_id_seq', :beyond)",),
}
# On Postgres, ids are given in order, and transactions end in any. An INSERT takes this lock before it is given its id,
# and keeps it until its transaction has ended. Transaction ids would tell the same, but of all of the cluster:
# a transaction left open in another one would hold us up.
_WRITERS: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
      AND relation = CAST('journal' AS regclass)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
