"""Programs that are not Python: where they are kept, how they are found or built."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]


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
