"""A throw-away Azure Blob Storage for the tests: Azurite, Microsoft's own stand-in for it."""

from __future__ import annotations

import base64
import hmac
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from registry.storage.objects.service import Bucket
from tests.clients.tools import TOOLS
from tests.s3 import free_ports, wait_until_refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ACCOUNT: Final = "registry"
_VERSION: Final = "2021-12-02"


class Azurite:
    """A running service on loopback, with one container."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._numbers = itertools.count(1)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variable in which its clients look for what lets them in."""
        return {"AZURE_STORAGE_ACCOUNT_KEY": self.key}

    def new_bucket(self) -> Bucket:
        """A place without objects, as a store is told of it."""
        return Bucket(f"az://{_ACCOUNT}/registry/test-{next(self._numbers)}", self.endpoint, allow_http=True)

    def make_container(self) -> None:
        """Make the container itself; its clients take it to be there."""
        date = formatdate(usegmt=True)
        headers = f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n"
        said = "PUT" + "\n" * 12 + headers + f"/{_ACCOUNT}/{_ACCOUNT}/registry\nrestype:container"
        mac = hmac.digest(base64.b64decode(self.key), said.encode(), "sha256")
        signed = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(mac).decode()}",
        }
        with httpx.Client(trust_env=False) as client:
            answer = client.put(f"{self.endpoint}/registry?restype=container", headers=signed)
        assert answer.status_code == 201, answer.text


@contextmanager
def running_azurite() -> Iterator[Azurite]:
    """Start a service without objects; afterwards stop it and wipe everything."""
    program = TOOLS / "azurite/node_modules/azurite/dist/src/blob/main.js"
    assert program.exists(), "the tests need Azurite: ci/objects/install.sh"
    folder = Path(tempfile.mkdtemp(prefix="registry-azure-"))
    [port] = free_ports(1)
    service = Azurite(port)
    command = ["setpriv", "--pdeathsig=KILL", "node", str(program), "--blobHost", "127.0.0.1"]
    command += [
        "--blobPort",
        str(port),
        "--location",
        str(folder),
        "--disableTelemetry",
        "--skipApiVersionCheck",
    ]
    environment = {"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{service.key}"}
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            wait_until_refused(f"{service.endpoint}/registry", process, folder / "log")
            service.make_container()
            yield service
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    finally:
        shutil.rmtree(folder)
