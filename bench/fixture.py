"""How long a test waits for its registry: the fixture's, beside starting a process and waiting for its port.

python bench/fixture.py [ROUNDS]      prints milliseconds: the best, the median and the worst of so many rounds

The peer is distribution (Debian's docker-registry), where it is installed.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = """
import time, pytest
begun = time.perf_counter()
from registry.testing import serve
with serve() as oci:
    print(time.perf_counter() - begun)
"""
POLL_SECONDS = 0.002
WAIT_SECONDS_MAX = 60


def main() -> None:
    """Measure each way, and print it."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    show("fixture, first in a process", [first() for _ in range(rounds)])
    starts, images, stops = zip(*[later() for _ in range(rounds + 1)], strict=True)
    show("fixture, every one after that: start", starts[1:])
    show("                               push_image", images[1:])
    show("                               stop", stops[1:])
    with tempfile.TemporaryDirectory(prefix="registry-bench-") as folder:
        ours = [sys.executable, "-m", "registry", "serve", "--log-level", "error"]
        show("registry serve", [process(lambda port: ours_at(ours, port, folder)) for _ in range(rounds)])
        program = shutil.which("docker-registry")
        if program is None:
            print("no peer here: apt-get install docker-registry")
            return
        show(
            "docker-registry serve",
            [process(lambda port: peer(program, port, folder)) for _ in range(rounds)],
        )


def first() -> float:
    """Seconds from the first import to a registry that answers, in a process that runs pytest."""
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    return float(done.stdout)


def later() -> tuple[float, float, float]:
    """Seconds to start, to push an image of one layer, and to stop."""
    from registry.testing import serve

    serving = serve()
    begun = time.perf_counter()
    oci = serving.__enter__()
    started = time.perf_counter()
    oci.push_image("app:1")
    pushed = time.perf_counter()
    serving.__exit__(None, None, None)
    return started - begun, pushed - started, time.perf_counter() - pushed


def process(command: Callable[[int], list[str]]) -> float:
    """Seconds from starting a program to its answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    prepared = command(port)
    begun = time.perf_counter()
    with subprocess.Popen(prepared, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            while not answers(port):
                assert running.poll() is None, f"{prepared} ended"
                assert time.perf_counter() - begun < WAIT_SECONDS_MAX, f"{prepared} does not answer"
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - begun
        finally:
            running.terminate()


def ours_at(command: list[str], port: int, folder: str) -> list[str]:
    """Our command line, with an empty data folder."""
    data = tempfile.mkdtemp(dir=folder)
    return [*command, "--port", str(port), "--data", data]


def peer(program: str, port: int, folder: str) -> list[str]:
    """The peer's, with blobs in memory."""
    file = Path(folder) / "peer.yml"
    file.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{inmemory: {{}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    return [program, "serve", str(file)]


def answers(port: int) -> bool:
    """Whether a registry is there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS_MAX)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def show(what: str, seconds: list[float] | tuple[float, ...]) -> None:
    """One line."""
    told = [f"{1000 * value:6.1f}" for value in (min(seconds), statistics.median(seconds), max(seconds))]
    print(f"{what:46}{' '.join(told)} ms")


if __name__ == "__main__":
    main()
