"""How much memory a server takes beyond its idle state while one large layer is pushed and pulled.

python bench/memory.py [GIB]      prints megabytes; needs that much room on the disk
"""

from __future__ import annotations

import hashlib
import http.client
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_PIECE = bytes(1024 * 1024)


def main() -> None:
    """Push streamed and in one PUT, pull, and print the highest resident size of each."""
    pieces = int(float(sys.argv[1] if len(sys.argv) > 1 else "5") * 1024)
    hasher = hashlib.sha256()
    for _ in range(pieces):
        hasher.update(_PIECE)
    digest = f"sha256:{hasher.hexdigest()}"
    with tempfile.TemporaryDirectory(prefix="registry-bench-") as folder:
        command = [sys.executable, "-m", "registry", "serve", "--port", "0", "--data", folder]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                port = int(server.stdout.readline().rpartition(":")[2])
                measure(http.client.HTTPConnection("127.0.0.1", port), server.pid, digest, pieces)
            finally:
                server.terminate()


def measure(connection: http.client.HTTPConnection, pid: int, digest: str, pieces: int) -> None:
    """Run the three ways, each from a fresh peak."""
    ask(connection, "GET", "/v2/")
    idle = memory(pid, "VmRSS")
    print(f"idle: {idle:.0f} MB")
    upload = ask(connection, "POST", "/v2/bench/blobs/uploads/")["location"]
    ask(connection, "PATCH", upload, pieces)
    ask(connection, "PUT", f"{upload}?digest={digest}")
    print(f"pushed by PATCH, {pieces / 1024:g} GiB: +{memory(pid, 'VmHWM') - idle:.0f} MB")
    upload = ask(connection, "POST", "/v2/bench/blobs/uploads/")["location"]
    ask(connection, "PUT", f"{upload}?digest={digest}", pieces)
    print(f"pushed by PUT: +{memory(pid, 'VmHWM') - idle:.0f} MB")
    connection.request("GET", f"/v2/bench/blobs/{digest}")
    answer = connection.getresponse()
    while answer.read(1024 * 1024):
        pass
    print(f"pulled: +{memory(pid, 'VmHWM') - idle:.0f} MB")


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, pieces: int = 0
) -> http.client.HTTPMessage:
    """Send a request, with a body of so many pieces; the headers of its answer."""
    body = (_PIECE for _ in range(pieces)) if pieces else None
    connection.request(method, path, body, encode_chunked=bool(pieces), headers=_headers(pieces))
    answer = connection.getresponse()
    answer.read()
    assert answer.status < 300, f"{method} {path}: {answer.status}"
    return answer.headers


def _headers(pieces: int) -> dict[str, str]:
    return {"transfer-encoding": "chunked"} if pieces else {"content-length": "0"}


def memory(pid: int, what: str) -> float:
    """Megabytes, by the system's own account."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
