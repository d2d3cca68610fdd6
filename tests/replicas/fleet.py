"""Three replicas behind nginx, on one Postgres database and one bucket: processes that can be killed and started again."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.clients.registry_view import server_errors
from tests.replicas.nginx import Proxy, running_nginx
from tests.server import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


REPLICAS: Final = 3
REDIRECTING: Final = {"storage.objects.redirect": "always"}
"""Settings with which clients fetch blobs from the bucket."""
_START_SECONDS_MAX: Final = 60
_STOP_SECONDS_MAX: Final = 60
_direct: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Replica:
    """One `registry serve`, which always comes back at the same address."""

    def __init__(self, address: str, log: Path, environment: Mapping[str, str]) -> None:
        self.address = address
        self.log = log
        host, _, port = address.partition(":")
        self._environment = {**environment, "REGISTRY_HTTP__HOST": host, "REGISTRY_HTTP__PORT": port}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, without waiting; it ends with the thread that calls this."""
        command = ["setpriv", "--pdeathsig=KILL", sys.executable, "-m", "registry", "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=PROJECT, env=self._environment, stdout=log, stderr=log
            )

    def wait_until_ready(self) -> bool:
        """Wait until it answers and can do its work; False where it has ended instead, as without a database."""
        deadline = time.monotonic() + _START_SECONDS_MAX
        while self.runs:
            try:
                _direct.open(f"http://{self.address}/readyz", timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text()[-5000:]
                time.sleep(0.05)
            else:
                return True
        return False

    def kill(self) -> None:
        """End it at once, in the middle of what it is doing."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it in peace; its exit status."""
        assert self._process
        self._process.terminate()
        return self._process.wait(_STOP_SECONDS_MAX)


@dataclass(frozen=True)
class Fleet:
    """Replicas that run, and nginx in front of them; `environment` is what they are told."""

    proxy: Proxy
    replicas: tuple[Replica, ...]
    environment: Mapping[str, str]

    def check(self) -> subprocess.CompletedProcess[str]:
        """`registry check --deep`, run to its end."""
        command = [sys.executable, "-m", "registry", "check", "--deep"]
        return subprocess.run(
            command, cwd=PROJECT, env=self.environment, capture_output=True, text=True, check=False
        )

    def require_well(self) -> None:
        """AssertionError where a replica has answered 5xx or was not asked at all, or where `check` finds something."""
        asked = {request.replica for request in self.proxy.requests()}
        # Nobody is asked where a client tries whether TLS is spoken here: nginx refuses that itself.
        assert asked - {"-"} == {replica.address for replica in self.replicas}
        assert [line for replica in self.replicas for line in server_errors(replica.log)] == []
        checked = self.check()
        assert checked.returncode == 0, checked.stdout + checked.stderr

    @property
    def redirects(self) -> bool:
        """Whether clients were sent to the bucket."""
        return any(request.status == "307" for request in self.proxy.requests())


@contextmanager
def running_fleet(
    folder: Path, settings: Mapping[str, object], credentials: Mapping[str, str]
) -> Iterator[Fleet]:
    """Start replicas with these settings, by dotted key; at the end each stops with status 0.

    `credentials`: variables with those for the bucket.
    """
    variables = {f"REGISTRY_{key.upper().replace('.', '__')}": str(value) for key, value in settings.items()}
    others = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
    proxies = {"REGISTRY_HTTP__TRUSTED_PROXIES": "127.0.0.1"}
    environment = {**others, **credentials, **proxies, **variables}
    replicas = tuple(
        Replica(_address(number), folder / f"replica-{number}.log", environment) for number in range(REPLICAS)
    )
    with ExitStack() as stack:
        proxy = stack.enter_context(running_nginx(folder, [replica.address for replica in replicas]))
        for replica in replicas:
            stack.callback(_end, replica)
            replica.start()
        assert all(replica.wait_until_ready() for replica in replicas), replicas[0].log.read_text()
        yield Fleet(proxy, replicas, environment)
        assert [replica.stop() for replica in replicas] == [0] * REPLICAS


def _address(number: int) -> str:
    """A free port of an address that no outgoing connection has, so that it stays free while a replica is down."""
    host = f"127.0.{next(_networks)}.{number + 1}"
    with socket.create_server((host, 0)) as listener:
        return f"{host}:{listener.getsockname()[1]}"


_networks: Final = itertools.count(1)


def _end(replica: Replica) -> None:
    if replica.runs:
        replica.kill()
