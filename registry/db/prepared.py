"""Statements that are built and compiled once, and reach SQLite without SQLAlchemy in between.

SQLAlchemy spends some 25 us on running a statement that it knows, and many times that on building one; SQLite itself
answers in 4. So the statements of every request are prepared: SQLAlchemy writes them, once, for both databases; on
SQLite the driver then runs their text.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

DRIVER: Final = "sqlite_driver"
"""The execution option that holds the driver's own connection, where it is SQLite's."""

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
        driver: sqlite3.Connection | None = connection.get_execution_options().get(DRIVER)
        if driver is None:
            return connection.execute(self._for_postgres, values).first()
        row: Sequence[Any] | None = self._on(driver, values).fetchone()
        return row

    def scalar(self, connection: Connection, **values: object) -> Any:  # noqa: ANN401 - what the column holds
        """The first column of the first row, None where there is none."""
        row = self.first(connection, **values)
        return None if row is None else row[0]

    def all(self, connection: Connection, **values: object) -> Sequence[Sequence[Any]]:
        """Every row."""
        driver: sqlite3.Connection | None = connection.get_execution_options().get(DRIVER)
        if driver is None:
            return connection.execute(self._for_postgres, values).all()
        return self._on(driver, values).fetchall()

    def run(self, connection: Connection, **values: object) -> int:
        """How many rows were changed."""
        driver: sqlite3.Connection | None = connection.get_execution_options().get(DRIVER)
        if driver is None:
            return int(connection.execute(self._for_postgres, values).rowcount)
        return self._on(driver, values).rowcount

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Once for each of these sets of values."""
        driver: sqlite3.Connection | None = connection.get_execution_options().get(DRIVER)
        if driver is None:
            connection.execute(self._for_postgres, rows)
            return
        text, constants = self._for_sqlite
        driver.executemany(text, [constants | dict(row) for row in rows])

    def _on(self, driver: sqlite3.Connection, values: dict[str, object]) -> sqlite3.Cursor:
        text, constants = self._for_sqlite
        return driver.execute(text, constants | values if constants else values)

    @cached_property
    def _for_postgres(self) -> Executable:
        from sqlalchemy.dialects import postgresql  # a tenth of the start-up time, and often not needed

        built: Executable = self._built(postgresql.insert)
        return built

    @cached_property
    def _for_sqlite(self) -> tuple[str, dict[str, object]]:
        compiled = self._built(sqlite.insert).compile(dialect=_SQLITE)
        given = {name for name, bound in compiled.binds.items() if bound.required}
        return str(compiled), {name: value for name, value in compiled.params.items() if name not in given}

    def _built(self, insert: Callable[..., Any]) -> Any:  # noqa: ANN401 - SQLAlchemy's statements share no type
        return self._statement if isinstance(self._statement, Executable) else self._statement(insert)
