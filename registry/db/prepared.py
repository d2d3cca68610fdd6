"""Statements that are built and compiled once, and reach the database without SQLAlchemy in between.

SQLAlchemy spends some 25 us on running a statement that it knows, and many times that on building one; SQLite itself
answers in 4, and psycopg needs 30. So the statements of every request are prepared: SQLAlchemy writes them, once, for
both databases; the driver then runs their text. What it raises on Postgres is in `failures.py`.
"""

from __future__ import annotations

import sqlite3
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Dialect

DRIVER: Final = "driver"
"""The execution option that holds the driver's own connection; without it, statements run through SQLAlchemy."""

_SQLITE: Final = sqlite.dialect(paramstyle="named")


class Prepared:
    """A statement whose parameters (`bindparam`) are given by name when it runs.

    `statement`: what to run; or, where it has an INSERT ... ON CONFLICT, which SQLAlchemy spells once for each
    database, a function from the database's own `insert` to it. Values come back as the driver gives them: names are
    plain strings, and booleans are numbers on SQLite.
    """

    def __init__(self, statement: Executable | Callable[[Any], Executable]) -> None:
        self._statement = statement

    def first(self, connection: Connection, **values: object) -> Sequence[Any] | None:
        """The first row, None where there is none."""
        row: Sequence[Any] | None = self._run(connection, values).fetchone()
        return row

    def scalar(self, connection: Connection, **values: object) -> Any:  # noqa: ANN401 - what the column holds
        """The first column of the first row, None where there is none."""
        row = self.first(connection, **values)
        return None if row is None else row[0]

    def all(self, connection: Connection, **values: object) -> Sequence[Sequence[Any]]:
        """Every row."""
        rows: Sequence[Sequence[Any]] = self._run(connection, values).fetchall()
        return rows

    def run(self, connection: Connection, **values: object) -> int:
        """How many rows were changed."""
        return int(self._run(connection, values).rowcount)

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Once for each of these sets of values."""
        driver: Any = connection.get_execution_options().get(DRIVER)
        if not _is_sqlite(driver):
            connection.execute(self._for_postgres, rows)
            return
        text, constants = self._for_sqlite
        driver.executemany(text, [constants | dict(row) for row in rows])

    def _run(self, connection: Connection, values: dict[str, object]) -> Any:  # noqa: ANN401 - a cursor of any driver
        driver: Any = connection.get_execution_options().get(DRIVER)
        if driver is None:
            return connection.execute(self._for_postgres, values)
        text, constants = self._for_sqlite if _is_sqlite(driver) else self._for_psycopg
        return driver.execute(text, constants | values if constants else values)

    @cached_property
    def _for_postgres(self) -> Executable:
        from sqlalchemy.dialects import postgresql  # a tenth of the start-up time, and often not needed

        built: Executable = self._built(postgresql.insert)
        return built

    @cached_property
    def _for_psycopg(self) -> tuple[str, dict[str, object]]:
        from sqlalchemy.dialects.postgresql.psycopg import dialect  # as above

        return _compiled(self._for_postgres, dialect())  # type: ignore[no-untyped-call]

    @cached_property
    def _for_sqlite(self) -> tuple[str, dict[str, object]]:
        return _compiled(self._built(sqlite.insert), _SQLITE)

    def _built(self, insert: Callable[..., Any]) -> Any:  # noqa: ANN401 - SQLAlchemy's statements share no type
        return self._statement if isinstance(self._statement, Executable) else self._statement(insert)


def _is_sqlite(driver: object) -> bool:
    return isinstance(driver, sqlite3.Connection)


def _compiled(statement: Any, dialect: Dialect) -> tuple[str, dict[str, object]]:  # noqa: ANN401 - as `_built` has it
    """The text for a driver, and the values of those parameters that nobody gives."""
    compiled = statement.compile(dialect=dialect)
    given = {name for name, bound in compiled.binds.items() if bound.required}
    return str(compiled), {name: value for name, value in compiled.params.items() if name not in given}
