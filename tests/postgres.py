"""A throw-away Postgres server for the tests, started from the binaries that Debian installs."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Nothing here outlives the tests, so nothing has to reach the disk. Tests leave pools open: hence many connections.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""For those who measure it as it would run elsewhere."""
FORGETFUL = {"wal_writer_delay": "10s"}
"""For those who crash it: it loses whatever need not be durable, and not only what was committed a moment ago."""
_START_SECONDS_MAX = 60


class Cluster:
    """A server with one folder; only its own user and root reach it, through a Unix socket."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's first process, above all others."""
        assert self._server, "the server does not run"
        return self._server.pid

    def start(self) -> None:
        """Start it, and wait until it answers; it ends with the thread that calls this."""
        options = [f"-c{key}={value}" for key, value in self._settings.items()]
        command = [_binary("postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder), *options]
        with (self._folder / "log").open("w+") as log:
            self._server = subprocess.Popen(_as_postgres(command), stdout=log, stderr=log, cwd="/")
        _wait(self.url("postgres"), self._server, self._folder / "log")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it at once, whoever is connected, as when it crashes; what was committed is there when it starts again.

        SIGINT cuts connections, too, but lets it end in order.
        """
        if self._server:
            self._server.send_signal(how)
            self._server.wait()
        self._server = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block none of its processes does anything, as on a machine whose disk hangs; the kernel goes on."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        os.kill(self.pid, signal.SIGSTOP)  # first, so that it has no more of them
        processes = [self.pid, *map(int, children.read_text().split())]
        try:
            _signal(processes, signal.SIGSTOP)
            yield
        finally:
            _signal(processes, signal.SIGCONT)

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def create_database(self) -> str:
        """Makes an empty database; returns its URL."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops a database that `create_database` made, whoever is still connected to it."""
        name = url.removeprefix("postgresql://postgres@/").partition("?")[0]
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_cluster(changes: Mapping[str, str] = MappingProxyType({})) -> Iterator[Cluster]:
    """Starts a server with an empty cluster, and with changed settings; afterwards stops it and wipes everything."""
    # Not below pytest's folder: a socket's path has 107 bytes at most, and root's folders are closed to postgres.
    folder = Path(tempfile.mkdtemp(prefix="registry-postgres-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        _initialise(folder / "data")
        cluster = Cluster(folder, {**_SETTINGS, **changes})
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def _signal(processes: list[int], what: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, what)


def _initialise(data: Path) -> None:
    # Sorted as people do: a query that relies on byte order without asking for it fails here, as it would elsewhere.
    order = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    command = [
        _binary("initdb"),
        "--pgdata",
        str(data),
        "--username=postgres",
        "--auth=trust",
        "--no-sync",
        *order,
    ]
    done = subprocess.run(_as_postgres(command), capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _as_postgres(command: list[str]) -> list[str]:
    """Postgres refuses to run as root; and where pytest is killed, the server has to go too."""
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=QUIT", *user, *command]


def _binary(name: str) -> str:
    """Debian keeps the server's programs off the PATH, one folder for each major version."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(debian[-1]) if debian else shutil.which(name)
    assert found, "the tests need a Postgres server: apt-get install postgresql (./test does that as root)"
    return found
