"""This registry, as a server to measure: any checkout, on SQLite or Postgres, with users, with workers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench import users
from bench.servers import Command, Server
from bench.tools import PROJECT, TWO_CORES, starting_on
from tests.postgres import DURABLE, running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from tests.postgres import Cluster


def ours(name: str, checkout: Path, settings: Mapping[str, str] | None = None) -> Server:
    """A checkout, with REGISTRY_ settings; run by its own .venv where it has one."""

    def command(folder: Path, port: int) -> Command:
        environment = {
            "REGISTRY_STORAGE__DIRECTORY": str(folder / "data"),
            "REGISTRY_HTTP__PORT": str(port),
            "REGISTRY_LOG__LEVEL": "warning",  # as with the peers: no line for each request
            **(settings or {}),
        }
        return Command([_python(checkout), "-m", "registry", "serve"], environment, checkout)

    version, fill, grow = _version(checkout), partial(_fill, checkout), partial(_grow, checkout, command)
    return Server(name, command, version, fill=fill, grow=grow)


def two_workers(checkout: Path) -> Server:
    """Two workers, free to use both cores, which they share with the load generator."""
    return replace(ours("ours-2-cores", checkout, {"REGISTRY_HTTP__WORKERS": "2"}), cores=TWO_CORES)


def with_users(checkout: Path) -> Server:
    """Everybody has to log in."""
    server = ours("ours-auth", checkout)

    def command(folder: Path, port: int) -> Command:
        inner = server.command(folder, port)
        file = users.write(folder)
        return replace(inner, environment={**inner.environment, "REGISTRY_AUTH__HTPASSWD__FILE": str(file)})

    return replace(server, command=command, authorization=users.AUTHORIZATION)


def on_postgres(checkout: Path, stack: ExitStack) -> Server:
    """Rows in Postgres, which shares the server's core; its processor time counts. One database for each folder."""
    server = ours("ours-postgres", checkout)
    clusters: list[Cluster] = []

    def command(folder: Path, port: int) -> Command:
        if not clusters:
            with starting_on(server.cores):
                clusters.append(stack.enter_context(running_cluster(DURABLE)))
        inner = server.command(folder, port)
        environment = {**inner.environment, "REGISTRY_DATABASE__URL": _database(clusters[0], folder)}
        return replace(inner, environment=environment, beside=(clusters[0].pid,))

    return replace(server, command=command, fill=None, grow=partial(_grow, checkout, command))


def _database(cluster: Cluster, folder: Path) -> str:
    remembered = folder / "database"
    if not remembered.exists():
        remembered.write_text(cluster.create_database())
    return remembered.read_text()


def _fill(checkout: Path, folder: Path) -> None:
    """By the checkout's own code, which knows its tables."""
    _run(checkout, "rows.py", str(folder / "data"), {})


def _grow(checkout: Path, command: Callable[[Path, int], Command], entries: int, folder: Path) -> None:
    """Into the database that the server will be told to use."""
    _run(checkout, "grown_rows.py", str(entries), command(folder, 0).environment)


def _run(checkout: Path, program: str, argument: str, settings: Mapping[str, str]) -> None:
    command = [_python(checkout), str(PROJECT / "bench" / program), argument]
    environment = {**os.environ, "PYTHONPATH": str(checkout), **settings}
    subprocess.run(command, cwd=checkout, env=environment, check=True)


def _python(checkout: Path) -> str:
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _version(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
