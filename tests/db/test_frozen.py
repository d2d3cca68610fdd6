"""A process that stops in the middle of a transaction, as on a machine that hangs: the others go on without it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import pytest
from sqlalchemy import text

import registry
from registry.db import repositories
from registry.db.database import Connection, Database, open_database
from registry.oci.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

BUSY_SECONDS_MAX: Final = 4
"""Who waits for a lock gives up then; Postgres takes it from who is silent in half the time."""

NAME: Final = RepositoryName("team/app")
UNFINISHED: Final = RepositoryName("team/unfinished")

FREEZE: Final = f"""
import asyncio, signal, sys, threading
from registry.db import repositories
from registry.db.database import open_database
from registry.oci.errors import Unavailable

_, url, verb, rest = sys.argv
database = open_database(url, pool_size=1, busy_seconds_max={BUSY_SECONDS_MAX})
times = 0

def stop(connection):
    global times
    times += 1
    if verb == "write":
        repositories.ensure(connection, "{UNFINISHED}")
        repositories.ensure(connection, "{NAME}")
    else:
        repositories.page(connection, "", 10)
    if times == 1:
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread first: it does nothing more
    if rest == "ask":
        repositories.find(connection, "{NAME}")
    return "done"

async def main():
    try:
        told = await getattr(database, verb)(stop)
    except Unavailable:
        told = "Unavailable"
    print(told, times, await database.look(repositories.find, "{UNFINISHED}"), flush=True)

asyncio.run(main())
"""


@contextmanager
def frozen(url: str, verb: str, rest: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has stopped within a transaction: `verb` says which; afterwards it asks something, or ends it."""
    command = [sys.executable, "-c", FREEZE, url, verb, rest]
    root = Path(registry.__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as process:
        try:
            stat = Path(f"/proc/{process.pid}/stat")
            while stat.read_text().rpartition(")")[2].split()[0] != "T":
                assert process.poll() is None
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


@pytest.fixture
def other(postgres_tables_url: str) -> Iterator[Database]:
    """Give a database as another replica has it."""
    with closing(
        open_database(postgres_tables_url, pool_size=1, busy_seconds_max=BUSY_SECONDS_MAX)
    ) as database:
        yield database


def thaw(process: subprocess.Popen[str]) -> str:
    """What it says once it goes on."""
    process.send_signal(signal.SIGCONT)
    return process.communicate(timeout=30)[0].strip()


@pytest.mark.parametrize("rest", ["ask", "commit"])
async def test_write(other: Database, postgres_tables_url: str, rest: str) -> None:
    """Who waits for a frozen one's row gets it in time; the frozen one is told to try again, and has done nothing."""
    with frozen(postgres_tables_url, "write", rest) as process:
        assert await other.write(repositories.ensure, NAME)
        assert thaw(process) == "Unavailable 1 None"
    assert await other.look(repositories.find, UNFINISHED) is None


async def silent_in_transactions(database: Database) -> int:
    """How many others of this database are."""
    count = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    return int(await database.look(lambda connection: connection.scalar(count)))


async def test_read(other: Database, postgres_tables_url: str) -> None:
    """A frozen one's view of the past, which vacuum must leave, ends too; it reads again when it goes on."""
    with frozen(postgres_tables_url, "read", "ask") as process:
        assert await silent_in_transactions(other) == 1
        with anyio.fail_after(BUSY_SECONDS_MAX):
            while await silent_in_transactions(other):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.1)
        assert thaw(process) == "done 2 None"


def settings(connection: Connection) -> dict[str, str]:
    """What the server does about a client that is silent or gone, in seconds and milliseconds."""
    names = "name LIKE 'tcp\\_%' OR name = 'idle_in_transaction_session_timeout'"
    # A Unix socket has none of them, which `SHOW` would tell; this is what was asked for.
    rows = connection.execute(text(f"SELECT name, reset_val FROM pg_settings WHERE {names}"))
    return {row.name: row.reset_val for row in rows}


LINK: Final = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


async def test_lost_machines(other: Database) -> None:
    """The server notices that a client's machine is gone; only walks over whole tables may pause as they like."""
    short = await other.look(settings)
    assert short == {**LINK, "idle_in_transaction_session_timeout": f"{BUSY_SECONDS_MAX * 500}"}
    assert await other.survey(settings) == {**LINK, "idle_in_transaction_session_timeout": "0"}


async def test_url_may_say_otherwise(postgres_tables_url: str) -> None:
    """What `options` in the URL say to the server goes before, on every connection."""
    url = f"{postgres_tables_url}&options=-ctcp_user_timeout%3D7000%20-csearch_path%3Delsewhere"

    def both(connection: Connection) -> tuple[str, str]:
        return settings(connection)["tcp_user_timeout"], str(connection.scalar(text("SHOW search_path")))

    with closing(open_database(url)) as database:
        assert await database.look(both) == ("7000", "elsewhere")
        assert await database.survey(both) == ("7000", "elsewhere")


async def test_little_patience(postgres_tables_url: str) -> None:
    """However short others may wait, a process has a second for what it does between two statements."""
    with closing(open_database(postgres_tables_url, busy_seconds_max=0.01)) as database:
        assert (await database.look(settings))["idle_in_transaction_session_timeout"] == "1000"
