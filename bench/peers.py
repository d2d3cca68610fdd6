"""Other registries to measure ours against, and what Python could do at most. Each is built or installed when needed.

All of them work without a line of log for each request, which is how they are fastest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bench import users
from bench.failures import Unavailable
from bench.servers import Command, Server
from bench.tools import PROJECT, TWO_CORES, find_go, tools_folder
from bench.tree import link_tree

if TYPE_CHECKING:
    from pathlib import Path

_DISTRIBUTION = "github.com/distribution/distribution/v3/cmd/registry"
_OLAREG = "github.com/olareg/olareg/cmd/olareg"
_BARE_CASES = (
    "v2",
    *(f"manifest-{method}-{by}" for method in ("get", "head") for by in ("tag", "digest")),
    *(f"manifest-get-tag-{clients}c" for clients in (1, 8, 256)),
)

# version 0.1 is that of the file's format; both versions of distribution read it
_DISTRIBUTION_CONFIG: Final = """\
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: FOLDER/data}
  delete: {enabled: true}
http: {addr: "127.0.0.1:PORT"}
"""


def debian() -> Server:
    """Distribution 2.8 as Debian packages it."""
    if not shutil.which("docker-registry"):
        _apt_install("docker-registry")
    return _distribution("debian", "docker-registry")


def distribution() -> Server:
    """Distribution 3."""
    return _distribution("distribution", str(_go_install(_DISTRIBUTION, "v3.1.1")))


def olareg() -> Server:
    """Olareg, a small registry without a database, which does not sync what it writes."""
    program = str(_go_install(_OLAREG, "v0.1.2"))

    def command(folder: Path, port: int) -> Command:
        place = ["--addr", "127.0.0.1", "--port", str(port), "--dir", str(folder / "data")]
        return Command([program, "serve", "--verbosity", "error", *place])

    return Server("olareg", command, _said([program, "version"]).rpartition(" ")[2])


def bare() -> Server:
    """Uvicorn with an application that does nothing."""

    def command(_folder: Path, port: int) -> Command:
        quiet = ["--no-access-log", "--log-level", "warning", "--lifespan", "off", "--ws", "none"]
        fast = ["--loop", "uvloop", "--http", "httptools"]
        program = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port)]
        return Command([*program, *fast, *quiet])

    version = _said([sys.executable, "-m", "uvicorn", "--version"])
    return Server("bare", command, version, cases=_BARE_CASES)


def with_users(server: Server) -> Server:
    """A distribution where everybody has to log in."""

    def command(folder: Path, port: int) -> Command:
        inner = server.command(folder, port)
        with (folder / "config.yml").open("a") as config:
            config.write(f"auth: {{htpasswd: {{realm: bench, path: {users.write(folder)}}}}}\n")
        return inner

    return replace(server, name=f"{server.name}-auth", command=command, authorization=users.AUTHORIZATION)


def on_both_cores(server: Server) -> Server:
    """A Go program uses as many cores as it is given."""
    return replace(server, name=f"{server.name}-2-cores", cores=TWO_CORES)


def _distribution(name: str, program: str) -> Server:
    def command(folder: Path, port: int) -> Command:
        config = folder / "config.yml"
        config.write_text(_DISTRIBUTION_CONFIG.replace("FOLDER", str(folder)).replace("PORT", str(port)))
        return Command([program, "serve", str(config)], {"OTEL_TRACES_EXPORTER": "none"})

    version = _said([program, "--version"]).rpartition(" ")[2]  # behind its path and its module
    return Server(name, command, version, fill=link_tree)


def _apt_install(package: str) -> None:
    script = f'. scripts/environment.sh; need "The benchmark measures Debian\'s registry, too." {package}'
    done = subprocess.run(["bash", "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"apt-get install {package} failed", f"{done.stdout}{done.stderr}".strip())


def _go_install(package: str, version: str) -> Path:
    """The program that Go makes of a package, with the versions of all else that its module names.

    Within a module of our own: `go install package@version` first asks the proxy for all versions, which not every
    proxy tells.
    """
    name = package.rpartition("/")[2]
    folder = tools_folder() / f"{name}-{version}"
    program = folder / name
    if not program.exists():
        folder.mkdir(exist_ok=True)
        module = package.partition("/cmd/")[0]
        (folder / "go.mod").write_text(f"module bench\n\ngo 1.24\n\nrequire {module} {version}\n")
        environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
        command = [find_go(), "install", package]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable(f"go install {package} {version} failed", done.stderr)
    return program


def _said(command: list[str]) -> str:
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return next(iter(f"{done.stdout}{done.stderr}".splitlines()), "unknown")
