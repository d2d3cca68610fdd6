"""Servers that are measured: what one is, how it is started and stopped."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.failures import Failed
from bench.tools import PROJECT, SERVER_CORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_START_SECONDS_MAX = 120
_STOP_SECONDS_MAX = 60


@dataclass(frozen=True)
class Command:
    """A command line, and where it runs.

    `beside`: those of its database server, whose cost is its own and is told apart as well. `storage`: those of its
    object storage, whose cost is only told apart.
    """

    arguments: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PROJECT
    beside: tuple[int, ...] = ()
    storage: tuple[int, ...] = ()


@dataclass(frozen=True)
class Server:
    """A kind of server; `command` says how to start one, given a folder for its data and a port."""

    name: str
    command: Callable[[Path, int], Command]
    version: str
    cores: str = SERVER_CORE
    authorization: str = ""
    fill: Callable[[Path], None] | None = None
    """Lays 100,000 tags and repositories into the folder, before a start."""
    grow: Callable[[int, Path], None] | None = None
    """Lays as many entries of each list there (see grown.py), before a start."""
    cases: tuple[str, ...] = ()
    """The only cases that it can do; empty: all."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    folder: Path
    port: int
    pids: tuple[int, ...]
    start_seconds: float
    apart: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Processes whose cost is told by itself, by what they are."""

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """Start it on its cores, with its data in `folder`; afterwards stop it, and leave the data.

    Raises Failed where it does not start.
    """
    port = _free_port()
    command = server.command(folder, port)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
    started = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", "taskset", "--cpu-list", server.cores, *command.arguments],
            cwd=command.folder,
            env={**environment, **command.environment},
            stdout=log,
            stderr=log,
        )
    try:
        _wait(port, process, folder / "log")
        seconds = time.monotonic() - started
        apart = {"database": command.beside, "storage": command.storage}
        yield Running(server, folder, port, (process.pid, *command.beside), seconds, apart)
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS_MAX)


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """A folder that is empty, and afterwards gone."""
    folder = parent / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until /v2/ is answered."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"did not start: {log.read_text()}")
        time.sleep(0.005)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS_MAX)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in {200, 401}
    except OSError:
        return False
    finally:
        connection.close()
