"""nginx with the configuration that deploy/ has for it, on loopback and in front of replicas of a test."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import trustme

from tests.s3 import free_ports
from tests.server import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DELIVERED: Final = PROJECT / "deploy" / "compose" / "nginx.conf"
_LOG: Final = "log_format way '$status $request_method $upstream_addr'; access_log {folder}/requests way;"


class Request(NamedTuple):
    """How a request ended, and at which replica; at several, separated by commas, where nginx tried again."""

    status: str
    method: str
    replica: str


@dataclass(frozen=True)
class Proxy:
    """A running nginx: `host` takes plain HTTP, `tls_host` also HTTP/2, with a certificate that `authority` vouches for."""

    host: str
    tls_host: str
    authority: Path
    log: Path

    def requests(self) -> list[Request]:
        """Every request that it has answered, in order."""
        return [Request(*line.split(" ", 2)) for line in self.log.read_text().splitlines()]


def configuration(folder: Path, replicas: Sequence[str], listen: Sequence[str]) -> str:
    """What deploy/ delivers, for these replicas and addresses; TLS at the first one, nothing outside of the folder."""
    text, found = re.subn(
        r"( *server )172\.30\.5\.11:5000( .*;\n) *server 172\.30\.5\.12:5000\2",
        lambda match: "".join(f"{match[1]}{replica}{match[2]}" for replica in replicas),
        _DELIVERED.read_text(),
    )
    assert found == 1
    plain = "".join(f"        listen {address};\n" for address in listen[1:])
    if _version() < (1, 25, 1):  # how it was said before
        text = text.replace("        http2 on;\n", "").replace("443 ssl;", "443 ssl http2;")
    text = text.replace("        listen 443 ", f"{plain}        listen {listen[0]} ")
    text = text.replace("/etc/nginx/tls", str(folder))
    return text.replace("http {", f"http {{\n    {_LOG.format(folder=folder)}", 1)


def write_certificate(folder: Path) -> None:
    """Where the configuration expects it, and beside it who vouches for it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", "registry.test")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")


@contextmanager
def running_nginx(folder: Path, replicas: Sequence[str]) -> Iterator[Proxy]:
    """Start it in front of replicas (address:port), whether they are there or not."""
    listen = [f"127.0.0.1:{port}" for port in free_ports(2)]
    write_certificate(folder)
    (folder / "nginx.conf").write_text(configuration(folder, replicas, listen))
    options = ["-p", str(folder), "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")]
    subprocess.run(["nginx", "-t", "-q", *options], check=True)
    # Where pytest is killed, it has to go too. Before it says anything it listens.
    command = ["setpriv", "--pdeathsig=TERM", "nginx", *options, "-g"]
    with subprocess.Popen([*command, f"daemon off; pid {folder}/pid;"]) as process:
        try:
            tls, plain = (f"localhost:{address.rpartition(':')[2]}" for address in listen)
            yield Proxy(plain, tls, folder / "authority.pem", folder / "requests")
        finally:
            process.terminate()


def _version() -> tuple[int, ...]:
    """As (1, 22, 1)."""
    done = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True)
    return tuple(int(number) for number in re.findall(r"\d+", done.stderr.split()[2]))
