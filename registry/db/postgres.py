"""Postgres through psycopg: a pool of connections, and as many threads that use them."""

from __future__ import annotations

import time
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from registry.db.database import Database, ask
from registry.db.deadline import bounded, run_until
from registry.db.failures import FAILURES, is_lost, state_of
from registry.db.liveness import Liveness
from registry.db.prepared import DRIVER
from registry.oci.errors import StorageFull, Unavailable
from registry.threads import Threads, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from sqlalchemy import URL, Connection

T = TypeVar("T")

_ATTEMPTS_MAX: Final = 10
_BUSY: Final = "the database is busy; try again"
_SILENT: Final = "the database does not answer at the moment; try again"
_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK_DETECTED: Final = "40P01"
_DISK_FULL: Final = "53100"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_READ_ONLY: Final = "25006"
_TOO_MANY_CONNECTIONS: Final = "53300"
_SNAPSHOT: Final[dict[str, Any]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_TRY_LOCK: Final = text("SELECT pg_try_advisory_lock(hashtextextended(:task, 0))")
_UNLOCK: Final = text("SELECT pg_advisory_unlock_all()")
_PING_SECONDS_MAX: Final = 5
"""Whoever probes does not wait for much longer."""
_LATE_SECONDS_MAX: Final = 2
"""Beyond its time, for who came to its turn at the last moment, or hears from Postgres that it waited for a lock."""

# A server that is gone without a word (a lost machine, a cut network) is noticed within half a minute, also by who has
# no deadline; without these it would be as long as the kernel goes on trying, a quarter of an hour and more. The URL
# may say otherwise.
_LINK: Final = {
    "connect_timeout": "10",  # seconds
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # milliseconds
}

# The same, told to the server: within a minute it notices that the machine at the other end is gone, and lets go of
# the locks that were taken over the connection. What it has sent meanwhile must be acknowledged within that time, too.
_LINK_BACK: Final = {
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
_IDLE_SECONDS_MIN: Final = 1
"""A process that says nothing for so long may be one of many on a busy machine, however impatient the operator is."""


class PostgresDatabase(Database):
    """A Postgres database, shared by any number of processes.

    Never more than `pool_size` connections are open for requests: who finds all of them in use waits for its turn, at
    most for `busy_seconds_max`. Who has a connection is answered about as soon, too, and be it by Unavailable: where
    Postgres itself is silent for so long, the connection is given up. And where this process is silent within a
    transaction for half of it (a stopped process, a lost machine), Postgres ends the transaction: those who wait for
    its locks get them before they give up.
    """

    def __init__(self, url: str, pool_size: int, busy_seconds_max: float) -> None:
        given = make_url(url).set(drivername="postgresql+psycopg")
        idle_seconds_max = max(busy_seconds_max / 2, _IDLE_SECONDS_MIN)
        idle = {"idle_in_transaction_session_timeout": round(idle_seconds_max * 1000)}
        self.engine = bounded(
            create_engine(
                _linked(given, {**_LINK_BACK, **idle}),
                pool_size=pool_size,
                max_overflow=0,
                isolation_level="READ COMMITTED",
            )
        )
        self._liveness = Liveness(self.engine)
        self._snapshots = self.engine.execution_options(**_SNAPSHOT)
        self._statements = self.engine.execution_options(
            isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
        )
        # For what takes long, as locks do: not from the pool, where requests would miss the connection. Walks over
        # whole tables pause within their transactions.
        self._unpooled = bounded(
            create_engine(_linked(given, _LINK_BACK), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        )
        self._threads = Threads(pool_size, "db")
        self._turn_seconds_max = busy_seconds_max
        lock_timeout = f"SET LOCAL lock_timeout = {round(busy_seconds_max * 1000)}"
        self._begin_durable = text(f"SET LOCAL synchronous_commit = on; {lock_timeout}")
        self._begin_lazy = text(f"SET LOCAL synchronous_commit = off; {lock_timeout}")

    @asynccontextmanager
    async def alone(self, task: str) -> AsyncIterator[bool]:
        """See Database; an advisory lock, which Postgres takes from a connection that ends."""
        held = ExitStack()
        try:
            yield await in_thread(None, run_until, self._deadline(), lambda: self._try_lock(task, held))
        finally:
            await in_thread(None, run_until, self._deadline(), held.close)

    async def ping(self) -> None:
        """See Database; Unavailable after five seconds."""
        await self._in_turn(lambda: self._look_here(ask), _PING_SECONDS_MAX)

    def close(self) -> None:
        """See Database."""
        self._threads.close()
        self.engine.dispose()

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        snapshots = self._unpooled.execution_options(**_SNAPSHOT)
        with _telling(), snapshots.connect() as connection, connection.begin():
            yield connection

    async def _look(self, job: Callable[[Connection], T]) -> T:
        return await self._in_turn(lambda: self._look_here(job))

    async def _read(self, job: Callable[[Connection], T]) -> T:
        return await self._in_turn(lambda: self._read_here(job))

    async def _survey(self, job: Callable[[Connection], T]) -> T:
        return await in_thread(None, self._survey_here, job)

    async def _write(self, job: Callable[[Connection], T], *, durable: bool) -> T:
        return await self._in_turn(lambda: self._write_here(job, durable=durable))

    async def _in_turn(self, function: Callable[[], T], seconds_max: float | None = None) -> T:
        """What `function` returns, run where a connection is free for it; Unavailable when none is for too long."""
        deadline = self._deadline() if seconds_max is None else time.monotonic() + seconds_max
        within = seconds_max or self._turn_seconds_max
        try:
            return await self._threads.run(run_until, deadline, function, within=within)
        except TimeoutError:
            raise Unavailable(_BUSY) from None

    def _deadline(self) -> float:
        return time.monotonic() + self._turn_seconds_max + _LATE_SECONDS_MAX

    def _try_lock(self, task: str, held: ExitStack) -> bool:
        with _telling():
            connection = held.enter_context(self._unpooled.connect())
            held.callback(_unlock, connection)
            return bool(connection.scalar(_TRY_LOCK, {"task": f"registry {task}"}))

    def _look_here(self, job: Callable[[Connection], T]) -> T:
        def look() -> T:
            with self._statements.connect() as connection:
                return job(_driven(connection))

        return self._on_living(look)

    def _read_here(self, job: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._snapshots.connect() as connection, connection.begin():
                return job(_driven(connection))

        return self._on_living(read)

    def _on_living(self, read: Callable[[], T]) -> T:
        """What `read` returns, which changes nothing: it runs again where its connection was found dead."""
        with _telling():
            try:
                return read()
            except FAILURES as error:
                if not self._liveness.doubt_after(error):
                    raise
            return read()

    def _survey_here(self, job: Callable[[Connection], T]) -> T:
        with self._snapshot() as connection:
            return job(connection)

    def _write_here(self, job: Callable[[Connection], T], *, durable: bool) -> T:
        begin = self._begin_durable if durable else self._begin_lazy
        unanswered = True
        for _ in range(_ATTEMPTS_MAX):
            try:
                with self.engine.begin() as connection:
                    connection.execute(begin)
                    unanswered = False
                    return job(_driven(connection))
            except FAILURES as error:
                # Nothing was done, and the reason is gone when the other transaction is: the same again will work.
                # So it will where the connection was found dead before it had begun anything.
                again = state_of(error) in {_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED}
                if not again and not (self._liveness.doubt_after(error) and unanswered):
                    raise _told(error) from error
                unanswered = False
        raise Unavailable(_BUSY)


def _linked(given: URL, settings: Mapping[str, object]) -> URL:
    """The URL of connections with these settings at the server; what is given goes before."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    query = {**_LINK, **given.query}
    return given.set(
        query={**query, "options": " ".join([options, *given.normalized_query.get("options", ())])}
    )


def _driven(connection: Connection) -> Connection:
    """As it was, and prepared statements reach the driver directly from now on."""
    return connection.execution_options(**{DRIVER: connection.connection.driver_connection})


def _unlock(connection: Connection) -> None:
    with suppress(*FAILURES):  # then the connection is gone, and the lock with it
        connection.execute(_UNLOCK)


@contextmanager
def _telling() -> Iterator[None]:
    """Failures of the database as what a client is told, where their cause is one that it can know."""
    try:
        yield
    except FAILURES as error:
        raise _told(error) from error


def _told(error: Exception) -> Exception:
    state = state_of(error)
    if state == _DISK_FULL:
        return StorageFull()
    if state == _READ_ONLY:
        return Unavailable("the database takes no changes at the moment; try again")
    if state in {_LOCK_NOT_AVAILABLE, _TOO_MANY_CONNECTIONS}:
        return Unavailable(_BUSY)
    return Unavailable(_SILENT) if is_lost(error) else error
