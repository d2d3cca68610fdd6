"""A throw-away OpenStack Swift for the tests, from Debian's packages: an S3 service that knows no conditional writes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.s3 import S3Server, free_ports, wait_until_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: Final = ("account", "container", "object")
_KEY, _SECRET = "registry", "registry-secret"
_SHARED: Final = """
[swift-hash]
swift_hash_path_suffix = tests
swift_hash_path_prefix = tests
[storage-policy:0]
name = only
default = yes
"""
_STORAGE: Final = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/node
mount_check = false
workers = 0
user = root
fallocate_reserve = 0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_PROXY: Final = f"""
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {{port}}
swift_dir = {{folder}}
workers = 0
user = root
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{{cache}}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_{_KEY} = {_SECRET} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""


@contextmanager
def running_swift() -> Iterator[S3Server]:
    """Start a service without objects, one process of each kind; afterwards stop it and wipe everything."""
    folder = Path(tempfile.mkdtemp(prefix="registry-swift-", dir="/tmp"))
    ports = dict(zip((*_KINDS, "cache", "proxy"), free_ports(len(_KINDS) + 2), strict=True))
    server = S3Server(f"http://127.0.0.1:{ports['proxy']}", f"test:{_KEY}", _SECRET)
    try:
        _configure(folder, ports)
        with ExitStack() as stack:
            processes = [stack.enter_context(_running(folder, kind, ports[kind])) for kind in ports]
            wait_until_refused(f"{server.endpoint}/registry", processes[-1], folder / "proxy.log")
            yield server
    finally:
        shutil.rmtree(folder)


def _configure(folder: Path, ports: dict[str, int]) -> None:
    (folder / "node" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SHARED)
    (folder / "proxy.conf").write_text(
        _PROXY.format(folder=folder, port=ports["proxy"], cache=ports["cache"])
    )
    for kind in _KINDS:
        (folder / f"{kind}.conf").write_text(_STORAGE.format(folder=folder, port=ports[kind], kind=kind))
        for words in ("create 4 1 0", f"add r1z1-127.0.0.1:{ports[kind]}/disk 1", "rebalance"):
            command = ["swift-ring-builder", str(folder / f"{kind}.builder"), *words.split()]
            subprocess.run(command, check=True, capture_output=True)


@contextmanager
def _running(folder: Path, kind: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which("memcached" if kind == "cache" else f"swift-{kind}-server")
    assert program, "the tests need OpenStack Swift and memcached: ci/objects/install.sh"
    options = [str(folder / f"{kind}.conf"), "--verbose"]
    if kind == "cache":
        options = ["--user=nobody", "--listen=127.0.0.1", f"--port={port}"]
    command = ["setpriv", "--pdeathsig=KILL", program, *options]
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder)}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
