"""The memory of a process that serves, as the kernel and Python's own collector see it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.server import PROJECT, running_server
from tests.support.content import Blob

UPLOADS: Final = 30
BLOB_BYTES: Final = 1024 * 1024
PAGES: Final = BLOB_BYTES // 4096


def page_faults(pid: int) -> int:
    """How often the kernel has had to give the process a page (proc(5), minflt)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def push(client: httpx.Client, number: int) -> None:
    """Push a blob of its own as docker does."""
    blob = Blob(number.to_bytes(4, "big") * (BLOB_BYTES // 4))
    location = client.post("/v2/team/app/blobs/uploads/").headers["location"]
    location = client.patch(location, content=blob.content).headers["location"]
    assert client.put(location, params={"digest": blob.digest}).status_code == 201


@pytest.mark.parametrize("workers", ["1", "2"])
def test_memory_is_used_again(tmp_path: Path, workers: str) -> None:
    """A blob that is pushed goes through memory that those before it have used."""
    with (
        running_server(tmp_path, {"REGISTRY_HTTP__WORKERS": workers}) as server,
        httpx.Client(base_url=f"http://{server.host}") as client,
    ):
        for number in range(10):
            push(client, number)
        processes = server.workers() or [server.pid]
        before = sum(map(page_faults, processes))
        for number in range(10, 10 + UPLOADS):
            push(client, number)
        assert sum(map(page_faults, processes)) - before < UPLOADS * PAGES / 4


def test_what_is_loaded_is_not_looked_through() -> None:
    """What a server loads is not looked through for garbage, and what comes later is."""
    code = """
import gc
from registry.memory import loading
with loading():
    import registry.app
    assert not gc.isenabled()
assert gc.isenabled()
assert gc.get_freeze_count() > 10_000 > len(gc.get_objects())
"""
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
