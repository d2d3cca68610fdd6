"""What is asked of Postgres has its time; with real servers that take longer."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import text

from registry.db.database import Connection, Database, open_database
from registry.oci.errors import Unavailable
from tests.support.tables import postgres_tables_url, postgres_with_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

__all__ = ["postgres_tables_url", "postgres_with_tables"]

BUSY_SECONDS_MAX: Final = 0.2
GIVEN_UP_SECONDS: Final = BUSY_SECONDS_MAX + 2
LONG_SECONDS: Final = 4


@pytest.fixture
def impatient(postgres_tables_url: str) -> Iterator[Database]:
    """Give a database with one connection, for which nobody waits long."""
    with closing(
        open_database(postgres_tables_url, pool_size=1, busy_seconds_max=BUSY_SECONDS_MAX)
    ) as database:
        yield database


def sleep(connection: Connection, seconds: float) -> int:
    """Let Postgres take its time; returns which of its processes did."""
    return int(
        connection.scalar(text("SELECT pg_backend_pid() FROM pg_sleep(:seconds)"), {"seconds": seconds})
    )


@pytest.mark.parametrize("verb", ["look", "read", "write", "write_soon"])
async def test_takes_too_long(impatient: Database, verb: str) -> None:
    """Who is not answered in time is told so, and the next one gets another connection."""
    ask = getattr(impatient, verb)
    first = await ask(sleep, 0)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await ask(sleep, LONG_SECONDS)
    assert GIVEN_UP_SECONDS <= time.monotonic() - began < LONG_SECONDS
    assert await ask(sleep, 0) != first


async def test_time_is_ones_own(impatient: Database) -> None:
    """Who comes later has time of its own, on the same connection."""
    first = await impatient.read(sleep, GIVEN_UP_SECONDS * 0.7)
    assert await impatient.read(sleep, GIVEN_UP_SECONDS * 0.7) == first


async def test_survey(impatient: Database) -> None:
    """A look at whole tables takes as long as it takes."""
    assert await impatient.survey(sleep, LONG_SECONDS)
