"""The load generator: a Go program in load/, built once for each state of its source."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.failures import Failed
from bench.tools import CLIENT_CORE, find_go, tools_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOURCE = Path(__file__).parent / "load"
_TIMEOUT_SECONDS = 600


@cache
def built() -> Path:
    """The program."""
    source = b"".join(path.read_bytes() for path in sorted(_SOURCE.iterdir()))
    program = tools_folder() / f"load-{hashlib.sha256(source).hexdigest()[:16]}"
    if not program.exists():
        subprocess.run([find_go(), "build", "-o", program, "."], cwd=_SOURCE, check=True)
    return program


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do the job (see load/main.go) on a core of its own; its summary. Failed where the server was not up to it."""
    command = ["taskset", "--cpu-list", CLIENT_CORE, str(built())]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {_TIMEOUT_SECONDS} seconds") from None
    if done.returncode:
        raise Failed(done.stderr.strip())
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary
