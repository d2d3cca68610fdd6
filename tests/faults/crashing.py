"""A server process that is killed without a word."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.server import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REGISTRY = (sys.executable, "-m", "registry")


@contextmanager
def doomed_server(
    folder: Path, *options: str, command: Sequence[str] = REGISTRY
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `registry serve` on data in `folder`; its URL and process. At the end all of its processes are killed."""
    arguments = [*command, "serve", "--port", str(_free_port()), "--data", str(folder), *options]
    with subprocess.Popen(
        arguments,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert "is ready" in process.stdout.readline()
            yield process.stdout.readline().split()[1].rstrip(","), process
        finally:
            with suppress(ProcessLookupError):  # the test has killed it already
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
