"""What says that Postgres has failed: errors of SQLAlchemy, and the driver's own, on which `Prepared` runs."""

from __future__ import annotations

from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError

FAILURES: Final = (DBAPIError, psycopg.Error)
"""All that may come of a query."""
_AWAY: Final = ("08", "57P", "25P03")
"""Connection exceptions, a server that starts or stops, and one that has ended a transaction which was silent for too
long: that one was rolled back."""


def state_of(error: BaseException) -> str:
    """What Postgres says was wrong (its documentation, appendix A), empty where it did not say anything."""
    return getattr(_cause(error), "sqlstate", None) or ""


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or there is none to be had."""
    state = state_of(error)
    return state.startswith(_AWAY) or (isinstance(_cause(error), psycopg.OperationalError) and not state)


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
