"""Databases without rows."""

from tests.support.tables import (
    postgres_tables_url,
    postgres_with_tables,
    sqlite_tables_url,
    sqlite_with_tables,
    tables_url,
)

__all__ = [
    "postgres_tables_url",
    "postgres_with_tables",
    "sqlite_tables_url",
    "sqlite_with_tables",
    "tables_url",
]
