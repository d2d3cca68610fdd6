"""The load generator: a Go program in load/, built when it is missing or older than its source."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.tools import find_go, tools_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

CORE = "1"
_SOURCE = Path(__file__).parent / "load"
_TIMEOUT_SECONDS = 600


class LoadFailed(Exception):
    """The server did not answer as it should."""


def built() -> Path:
    """The program."""
    program = tools_folder() / "load"
    newest = max(path.stat().st_mtime for path in _SOURCE.iterdir())
    if not program.exists() or program.stat().st_mtime < newest:
        subprocess.run([find_go(), "build", "-o", program, "."], cwd=_SOURCE, check=True)
    return program


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do the job (see load/main.go) on a core of its own; its summary. LoadFailed where the server failed it."""
    command = ["taskset", "--cpu-list", CORE, str(built())]
    done = subprocess.run(
        command,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
    if done.returncode:
        raise LoadFailed(done.stderr.strip())
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary
