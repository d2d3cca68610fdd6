"""Pooled connections that are seen to live before they are used: all but those that were used a moment ago.

To ask takes a round trip, which is half of what a pull asks of the database. A connection that was used within the last
second almost always lives; where it does not, the database was lost just now, and `doubt_after` has all of them asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

from registry.db.failures import FAILURES, is_lost

if TYPE_CHECKING:
    import psycopg

_FRESH_SECONDS: Final = 1.0
_USED: Final = "used"
"""When a connection was last given back, in its record."""


class Liveness:
    """Of the connections of an engine's pool."""

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        self._doubted = 0.0
        event.listen(engine, "checkin", self._note)
        event.listen(engine, "checkout", self._require)

    def doubt_after(self, error: Exception) -> bool:
        """Whether the error says that a connection is dead: then all others are asked before they are used again."""
        lost = is_lost(error)
        if lost:
            self._doubted = time.monotonic()
        return lost

    def _note(self, _driver: object, record: Any) -> None:  # noqa: ANN401 - as SQLAlchemy has it
        record.info[_USED] = time.monotonic()

    def _require(self, driver: psycopg.Connection[Any], record: Any, _fairy: object) -> None:  # noqa: ANN401 - as above
        now = time.monotonic()
        used = record.info.get(_USED, now)  # without it, it was opened just now
        fresh = used > max(self._doubted, now - _FRESH_SECONDS)
        if driver.closed or not (fresh or self._answers(driver)):
            raise InvalidatePoolError  # as SQLAlchemy's own ping does: another one is opened

    def _answers(self, driver: Any) -> bool:  # noqa: ANN401 - as above
        try:
            return self._dialect.do_ping(driver)
        except FAILURES:
            return False
