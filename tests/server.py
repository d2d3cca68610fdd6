"""A real server process for the tests that look at the registry from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).parents[1]
_START_SECONDS_MAX = 30
_STOP_SECONDS_MAX = 60


@dataclass(frozen=True)
class Server:
    """A running `registry serve`; `host` is address:port."""

    host: str
    log: Path
    pid: int

    def workers(self) -> list[int]:
        """The processes that answer, where there are several."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


@contextmanager
def running_server(folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Runs `registry serve` on a port of its choice with its data below `folder`.

    `settings` are REGISTRY_ variables. At the end SIGTERM stops it with status 0, and `registry check` is content.
    """
    ours = {**settings, "REGISTRY_STORAGE__DIRECTORY": str(folder / "data"), "REGISTRY_HTTP__PORT": "0"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")} | ours
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _registry("serve"), cwd=PROJECT, env=environment, stdout=output, stderr=output
        )
    try:
        yield Server(f"127.0.0.1:{_announced_port(process, log)}", log, process.pid)
    finally:
        process.terminate()
        status = process.wait(_STOP_SECONDS_MAX)
    assert status == 0, log.read_text()
    check = subprocess.run(
        _registry("check"), cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


def _registry(command: str) -> list[str]:
    return [sys.executable, "-m", "registry", command]


def _announced_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port in the line to try, which is printed once requests are answered."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while not (line := re.search(r"docker push [^\s/]*:(\d+)/", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return int(line[1])
