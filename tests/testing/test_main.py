"""`python -m registry.testing`, for test suites in other languages."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import httpx
import pytest

from tests.testing.clients import is_refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "registry.testing"]


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Run it; the process and what it prints."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *arguments], text=True, **pipes) as running:  # type: ignore[call-overload]
        assert running.stdout
        yield running, running.stdout
        running.kill()


def test_until_the_end_of_input() -> None:
    """It says its URL in the first line, serves, and ends with its standard input."""
    with process() as (running, output):
        url = output.readline().strip()
        assert httpx.get(f"{url}/v2/", trust_env=False).status_code == 200
        running.stdin.close()
        assert running.wait(10) == 0
        assert output.read() == ""
    assert is_refused(url.removeprefix("http://"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_until_a_signal(number: int) -> None:
    """A signal ends it as well, and its folder goes with it."""
    with process("--tls") as (running, output):
        output.readline()
        ca_file = output.readline().strip()
        running.send_signal(number)
        assert running.wait(10) == 0
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile=ca_file)


def test_options(tmp_path: Path) -> None:
    """Users, TLS and a folder to keep are had by options."""
    with process("--tls", "--user", "alice:secret", "--persistent", str(tmp_path / "data")) as (_, output):
        url, ca_file = output.readline().strip(), output.readline().strip()
        trusting = ssl.create_default_context(cafile=ca_file)
        answers = [
            httpx.get(f"{url}/v2/", verify=trusting, auth=auth, trust_env=False).status_code
            for auth in (None, ("alice", "secret"))
        ]
        assert answers == [401, 200]
    assert (tmp_path / "data" / "registry.db").exists()


def test_wrong_user() -> None:
    """A user without a password is refused in words."""
    done = subprocess.run([*COMMAND, "--user", "alice"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "must be NAME:PASSWORD" in done.stderr


def refused(*arguments: str, tmp_path: Path, **options: Any) -> str:
    """What it says in its one line when it cannot serve; no folder stays."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [*COMMAND, "--store", "filesystem", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=60, **options
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.glob("registry-testing-*")) == []
    (line,) = done.stderr.splitlines()
    assert line.startswith("registry.testing: ")
    return line


def test_no_standard_input(tmp_path: Path) -> None:
    """Without a standard input nothing would end it, so it does not begin."""
    assert "standard input is closed" in refused(tmp_path=tmp_path, preexec_fn=lambda: os.close(0))


def test_what_cannot_be_served(tmp_path: Path) -> None:
    """A port that is taken, a password that is none and a database that is not there are told in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "another program uses this port" in refused("--port", port, tmp_path=tmp_path)
    assert "more than the 72 bytes" in refused("--user", f"alice:{'x' * 73}", tmp_path=tmp_path)
    nobody = "postgresql://nobody@127.0.0.1:1/nothing"
    assert "the database cannot be used" in refused("--database", nobody, tmp_path=tmp_path)
    assert "database" in refused("--database", "nonsense", tmp_path=tmp_path)
