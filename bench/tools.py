"""Where programs that are not Python are kept and found, and on which cores everything runs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[1]
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = str(_CORES[0])
TWO_CORES = ",".join(map(str, _CORES[:2]))
CLIENT_CORE = str(_CORES[-1])
"""Where there are but two cores, a server that uses both shares one with its clients."""
STORAGE_CORE = str(_CORES[-2] if len(_CORES) > 2 else _CORES[-1])
"""Where there are but two cores, object storage shares one with the clients, so that the registry has its own."""


@contextmanager
def starting_on(core: str) -> Iterator[None]:
    """What is started within, with all its threads and children, stays on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(core)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tools_folder() -> Path:
    """Where built programs are kept; the tests use the same."""
    default = Path(tempfile.gettempdir()) / "registry-test-tools"
    folder = Path(os.environ.get("REGISTRY_TEST_TOOLS", default)) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_go() -> str:
    """A Go that is new enough."""
    done = subprocess.run(
        [PROJECT / "scripts" / "go"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
