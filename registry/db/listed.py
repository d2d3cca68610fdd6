"""`column IN (...)` with the whole list as one parameter: the text of the statement does not depend on its length."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.compiler import SQLCompiler


def is_listed(column: ColumnElement[str], parameter: str) -> ColumnElement[Any]:
    """Whether the column is in the list that this parameter will be given, which `listed` makes."""
    return _IsListed(column, bindparam(parameter))


def listed(strings: Iterable[str]) -> str:
    """A list of strings, as a parameter."""
    return json.dumps(list(strings))


class _IsListed(FunctionElement[Any]):
    """Without a type: a boolean would be compared with 1 on SQLite, which then finds no index for it."""

    inherit_cache = True


@compiles(_IsListed, "sqlite")
def _on_sqlite(element: _IsListed, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as SQLAlchemy has it
    column, given = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({given}))"  # noqa: S608 - the list is a parameter


@compiles(_IsListed, "postgresql")
def _on_postgres(element: _IsListed, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    column, given = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({given} AS json))))"
